// SPDX-License-Identifier: Apache-2.0
#include "formats.hpp"

#include <string>

#include "io/readers.hpp"
#include "io/writers.hpp"
#include "masks/mask.hpp"
#include "reorder/error.hpp"
#include "reorder/files.hpp"

namespace masks {
namespace {

bool ends_with(std::string_view path, std::string_view ending) {
  if (path.size() <= ending.size()) return false;
  path.remove_prefix(path.size() - ending.size());
  for (std::size_t i = 0; i < ending.size(); ++i) {
    const char c = path[i];
    if ((c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c) != ending[i]) return false;
  }
  return true;
}

[[noreturn]] void fail_ending(const std::filesystem::path& file) {
  throw reorder::Error(
      reorder::ErrorCode::bad_file,
      file.string() + ": the file's name must end with " + std::string(kFileEndings));
}

}  // namespace

Format format_of(std::string_view path) {
  if (ends_with(path, ".mtx") || ends_with(path, ".mtx.gz")) return Format::matrix_market;
  if (ends_with(path, ".npz")) return Format::scipy_npz;
  if (ends_with(path, ".npy")) return Format::dense_npy;
  return Format::none;
}

reorder::Csr read(const std::filesystem::path& file) {
  switch (format_of(file.string())) {
    case Format::matrix_market:
      return read_matrix_market(*open_file(file));
    case Format::scipy_npz:
      return read_scipy_npz(reorder::read_file(file), file.string());
    case Format::dense_npy:
      return read_dense_npy(reorder::read_file(file), file.string());
    case Format::none:
      break;
  }
  fail_ending(file);
}

void write(const std::filesystem::path& file, const reorder::CsrView& pattern) {
  const Format format = format_of(file.string());
  if (format == Format::none) fail_ending(file);
  FileSink output(file);
  if (format == Format::scipy_npz) {
    write_scipy_npz(output, pattern);
  } else if (format == Format::dense_npy) {
    write_dense_npy(output, pattern);
  } else if (ends_with(file.string(), ".gz")) {
    GzipSink gzip(output);
    write_matrix_market(gzip, pattern);
    gzip.finish();
  } else {
    write_matrix_market(output, pattern);
  }
  output.commit();
}

}  // namespace masks
