// SPDX-License-Identifier: Apache-2.0
#include "writers.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <span>
#include <string>
#include <type_traits>

#include "io/little_endian.hpp"
#include "io/npy_array.hpp"
#include "io/zip_writer.hpp"

namespace masks {
namespace {

/// Emits numbers as little-endian `Stored`, in pieces so that no list is held twice.
template <class Stored, class Number>
void emit_numbers(std::span<const Number> numbers, const ZipWriter::Emit& emit) {
  if constexpr (std::endian::native == std::endian::little && std::is_same_v<Stored, Number>) {
    emit({reinterpret_cast<const char*>(numbers.data()), numbers.size_bytes()});
    return;
  }
  constexpr std::size_t kPiece = std::size_t{1} << 16;
  std::string bytes;
  for (; !numbers.empty(); numbers = numbers.subspan(std::min(kPiece, numbers.size()))) {
    bytes.clear();
    for (const Number number : numbers.first(std::min(kPiece, numbers.size()))) {
      append_little_endian(bytes, static_cast<std::make_unsigned_t<Stored>>(number));
    }
    emit(bytes);
  }
}

}  // namespace

void write_matrix_market(ByteSink& sink, const reorder::CsrView& pattern) {
  sink.write("%%MatrixMarket matrix coordinate pattern general\n" + std::to_string(pattern.n_rows) +
             " " + std::to_string(pattern.n_cols) + " " + std::to_string(pattern.nnz()) + "\n");
  constexpr std::size_t kFlushAt = std::size_t{1} << 20;
  constexpr std::size_t kLongestLine = 24;
  std::string text(kFlushAt + kLongestLine, '\0');
  char* at = text.data();
  for (std::int32_t i = 0; i < pattern.n_rows; ++i) {
    for (const std::int32_t j : pattern.row(i)) {
      at = std::to_chars(at, text.data() + text.size(), std::int64_t{i} + 1).ptr;
      *at++ = ' ';
      at = std::to_chars(at, text.data() + text.size(), std::int64_t{j} + 1).ptr;
      *at++ = '\n';
      if (at < text.data() + kFlushAt) continue;
      sink.write({text.data(), at});
      at = text.data();
    }
  }
  sink.write({text.data(), at});
}

void write_scipy_npz(ByteSink& sink, const reorder::CsrView& pattern) {
  ZipWriter archive(sink);
  const auto nnz = static_cast<std::int64_t>(pattern.nnz());
  archive.add("indices.npy", [&](const ZipWriter::Emit& emit) {
    emit(npy_header("<i4", {nnz}));
    emit_numbers<std::int32_t>(pattern.col_indices, emit);
  });
  archive.add("indptr.npy", [&](const ZipWriter::Emit& emit) {
    const bool fits = nnz <= INT32_MAX;
    emit(npy_header(fits ? "<i4" : "<i8", {std::int64_t{pattern.n_rows} + 1}));
    fits ? emit_numbers<std::int32_t>(pattern.row_offsets, emit)
         : emit_numbers<std::int64_t>(pattern.row_offsets, emit);
  });
  archive.add("format.npy", [&](const ZipWriter::Emit& emit) {
    emit(npy_header("|S3", {}));
    emit("csr");
  });
  archive.add("shape.npy", [&](const ZipWriter::Emit& emit) {
    const std::int64_t shape[] = {pattern.n_rows, pattern.n_cols};
    emit(npy_header("<i8", {2}));
    emit_numbers<std::int64_t>(std::span<const std::int64_t>(shape), emit);
  });
  archive.add("data.npy", [&](const ZipWriter::Emit& emit) {
    emit(npy_header("|b1", {nnz}));
    const std::string ones(std::size_t{1} << 16, '\1');
    for (std::int64_t left = nnz; left > 0; left -= static_cast<std::int64_t>(ones.size())) {
      emit(std::string_view(ones).substr(0, static_cast<std::size_t>(left)));
    }
  });
  archive.finish();
}

void write_dense_npy(ByteSink& sink, const reorder::CsrView& pattern) {
  sink.write(npy_header("|b1", {pattern.n_rows, pattern.n_cols}));
  std::string row(static_cast<std::size_t>(pattern.n_cols), '\0');
  for (std::int32_t i = 0; i < pattern.n_rows; ++i) {
    for (const std::int32_t j : pattern.row(i)) row[static_cast<std::size_t>(j)] = '\1';
    sink.write(row);
    for (const std::int32_t j : pattern.row(i)) row[static_cast<std::size_t>(j)] = '\0';
  }
}

}  // namespace masks
