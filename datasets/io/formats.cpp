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

}  // namespace

Format format_of(std::string_view path) {
  if (ends_with(path, ".mtx") || ends_with(path, ".mtx.gz")) return Format::matrix_market;
  if (ends_with(path, ".npz")) return Format::scipy_npz;
  if (ends_with(path, ".npy")) return Format::dense_npy;
  return Format::none;
}

void check_ending(const std::filesystem::path& file) {
  if (format_of(file.string()) != Format::none) return;
  throw reorder::Error(
      reorder::ErrorCode::bad_file,
      file.string() + ": the file's name must end with " + std::string(kFileEndings));
}

reorder::Csr read(const std::filesystem::path& file) {
  check_ending(file);
  const Format format = format_of(file.string());
  if (format == Format::matrix_market) return read_matrix_market(*open_file(file));
  const std::string bytes = reorder::read_file(file);
  return format == Format::scipy_npz ? read_scipy_npz(bytes, file.string())
                                     : read_dense_npy(bytes, file.string());
}

void write(const std::filesystem::path& file, const reorder::CsrView& pattern) {
  check_ending(file);
  const Format format = format_of(file.string());
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
