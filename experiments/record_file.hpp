// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "experiments/record.hpp"

namespace experiments {

/// The records of a JSON Lines file. A last line that was torn by an interruption, without its end
/// or unreadable, is passed over. Throws reorder::Error{bad_file} with path:line for any other bad
/// line.
[[nodiscard]] std::vector<Record> read_records(const std::filesystem::path& file);

/// A record as it stands in such a file, with the end of its line.
[[nodiscard]] std::string line_of(const Record& record);

/// A results file that grows by whole lines. Whatever happens while one is added, the lines before
/// it stay as they were: a write that fails, as on a full disk, is taken back.
class RecordFile {
 public:
  /// Opens for appending, creates the file when it is not there, and holds a lock on it while this
  /// object lives. A torn last line is cut off. Throws reorder::Error{bad_file}, also when another
  /// process holds the lock.
  explicit RecordFile(const std::filesystem::path& file);
  ~RecordFile();
  RecordFile(const RecordFile&) = delete;
  RecordFile& operator=(const RecordFile&) = delete;

  /// What the file held when it was opened.
  [[nodiscard]] const std::vector<Record>& earlier() const noexcept { return earlier_; }

  /// Whether a torn line was cut off.
  [[nodiscard]] bool was_torn() const noexcept { return torn_; }

  /// Writes one line and waits until it is on the disk. Throws reorder::Error{bad_file}.
  void append(const Record& record);

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  bool regular_ = true;
  bool torn_ = false;
  std::vector<Record> earlier_;
};

}  // namespace experiments
