// SPDX-License-Identifier: Apache-2.0
#include "experiments/record_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>

#include "reorder/error.hpp"
#include "reorder/files.hpp"

namespace experiments {
namespace {

[[noreturn]] void fail(const std::filesystem::path& file, const std::string& what) {
  throw reorder::Error(reorder::ErrorCode::bad_file, file.string() + ": " + what);
}

struct Lines {
  std::vector<Record> records;
  std::size_t whole_bytes = 0;  ///< up to the end of the last good line
};

/// Only the last line can be torn: append writes the end of a line with the line.
Lines parse_lines(const std::filesystem::path& file, std::string_view text) {
  Lines lines;
  int number = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = text.find('\n', begin);
    if (end == std::string_view::npos) break;
    const std::string_view line = text.substr(begin, end - begin);
    const bool last = end + 1 == text.size();
    ++number;
    const std::string where = file.string() + ":" + std::to_string(number);
    if (!line.empty()) {
      const Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
      if (json.is_discarded()) {
        if (last) break;
        fail(where, "not JSON");
      }
      lines.records.push_back(from_json(json, where));
    }
    begin = end + 1;
    lines.whole_bytes = begin;
  }
  return lines;
}

/// Whether this is the beginning of a record, cut anywhere: a file of another kind must not be cut.
bool begins_record(std::string_view text) {
  constexpr std::string_view kBegin = "{\"schema_version\":";
  const std::size_t length = std::min(text.size(), kBegin.size());
  return text.substr(0, length) == kBegin.substr(0, length);
}

/// Writes all bytes or says why not.
int write_all(int descriptor, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return 0;
}

}  // namespace

std::vector<Record> read_records(const std::filesystem::path& file) {
  const std::string text = reorder::read_file(file);
  auto lines = parse_lines(file, text);
  const std::string_view rest = std::string_view(text).substr(lines.whole_bytes);
  if (!rest.empty() && !begins_record(rest)) {
    const auto number = 1 + std::count(text.begin(), text.end() - std::ssize(rest), '\n');
    fail(file.string() + ":" + std::to_string(number), "not a record");
  }
  return std::move(lines.records);
}

RecordFile::RecordFile(const std::filesystem::path& file) : path_(file) {
  descriptor_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor_ < 0) fail(path_, std::string("cannot open: ") + std::strerror(errno));
  try {
    struct stat status {};
    regular_ = ::fstat(descriptor_, &status) == 0 && S_ISREG(status.st_mode);
    if (!regular_) return;
    if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
      fail(path_, "another sweep is writing to this file");
    }
    const std::string text = reorder::read_file(file);
    Lines lines = parse_lines(path_, text);
    torn_ = lines.whole_bytes < text.size();
    if (torn_ && !begins_record(std::string_view(text).substr(lines.whole_bytes))) {
      fail(path_, "not a results file: its last line is no record");
    }
    if (torn_ && ::ftruncate(descriptor_, static_cast<off_t>(lines.whole_bytes)) != 0) {
      fail(path_, std::string("cannot cut off a torn last line: ") + std::strerror(errno));
    }
    earlier_ = std::move(lines.records);
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

std::string line_of(const Record& record) {
  return to_json(record).dump(-1, ' ', false, Json::error_handler_t::replace) + '\n';
}

RecordFile::~RecordFile() {
  ::close(descriptor_);
}

void RecordFile::append(const Record& record) {
  const std::string line = line_of(record);
  const off_t before = regular_ ? ::lseek(descriptor_, 0, SEEK_END) : 0;
  int error = write_all(descriptor_, line);
  if (error == 0 && regular_ && ::fdatasync(descriptor_) != 0) error = errno;
  if (error == 0) return;
  std::string sentence = std::string("cannot write: ") + std::strerror(error);
  if (regular_) {
    // Should this fail too, the torn line is recognised when the file is read again.
    const bool restored = ::ftruncate(descriptor_, before) == 0;
    sentence += restored ? "; the records before are kept" : "; the last line may be torn";
  }
  fail(path_, sentence);
}

}  // namespace experiments
