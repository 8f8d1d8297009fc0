// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "io/byte_sink.hpp"
#include "reorder/csr.hpp"

namespace masks {

/// Coordinate, pattern, general.
void write_matrix_market(ByteSink& sink, const reorder::CsrView& pattern);

/// What scipy.sparse.load_npz reads: CSR, stored without compression, the data all True. int32
/// offsets where they suffice, as scipy has it. Equal patterns give equal bytes.
void write_scipy_npz(ByteSink& sink, const reorder::CsrView& pattern);

/// A C-ordered array of booleans; n_rows * n_cols bytes, of which one row is held at a time.
void write_dense_npy(ByteSink& sink, const reorder::CsrView& pattern);

}  // namespace masks
