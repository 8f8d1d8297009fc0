// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "io/byte_source.hpp"
#include "reorder/csr.hpp"

namespace masks {

// The readers on bytes: `read` calls them for files, tests and fuzzers for what they make up. All
// throw Error{bad_file}, and set memory aside only in proportion to the bytes that are there.

/// Matrix Market coordinate files: pattern, real or integer; general, symmetric or skew-symmetric.
/// Entries may come in any order; repeated ones are merged; values are checked and ignored.
/// Source: Boisvert, Pozo, Remington, "The Matrix Market exchange formats", NISTIR 5935, 1996.
[[nodiscard]] reorder::Csr read_matrix_market(ByteSource& source);

/// An archive of scipy.sparse.save_npz, CSR or CSC, stored or deflated. Indices may come in any
/// order within a row; repeated ones are merged, which is what scipy's sum_duplicates does to the
/// pattern.
[[nodiscard]] reorder::Csr read_scipy_npz(std::string_view bytes, const std::string& source);

/// A two-dimensional .npy array of booleans, integers or floats of any byte order: what is not zero
/// is allowed. Infinities and NaNs are refused: an additive mask means the opposite by them.
[[nodiscard]] reorder::Csr read_dense_npy(std::string_view bytes, const std::string& source);

/// Refuses row counts that are out of all proportion to the file: each row takes 8 bytes, whether
/// it has entries or not, so that a header of a few bytes could ask for 16 GiB.
void check_claimed_rows(std::int64_t rows, std::uint64_t entries, const std::string& source);

}  // namespace masks
