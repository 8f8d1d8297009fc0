// SPDX-License-Identifier: Apache-2.0
#include "cuda/mask_build/malformed.hpp"

#include <string>
#include <vector>

#include "attn/error.hpp"
#include "cuda/runtime.hpp"

namespace attn::mask_build {

void report_malformed(std::span<const CsrSource> sources, const StripGrid& grid, std::int32_t row) {
  for (std::size_t m = 0; m < sources.size(); ++m) {
    std::int64_t range[2];
    cuda::check(cudaMemcpy(range, sources[m].offsets + row, sizeof range, cudaMemcpyDeviceToHost),
                "reading offsets");
    std::string where = "CSR mask";
    if (sources.size() > 1) where += " " + std::to_string(m) + " of the stack";
    where += ": row " + std::to_string(row);
    const std::int64_t least = row == 0 ? range[0] : 0;
    const bool ends = row + 1 == grid.n_q && range[1] != sources[m].nnz;
    if (least != 0 || range[0] < 0 || range[1] < range[0] || range[1] > sources[m].nnz || ends) {
      throw Error(ErrorCode::invalid_mask,
                  where + " has the offsets " + std::to_string(range[0]) + " and " +
                      std::to_string(range[1]) +
                      "; offsets ascend from 0 to the number of column indices, " +
                      std::to_string(sources[m].nnz));
    }
    std::vector<std::int32_t> cols(static_cast<std::size_t>(range[1] - range[0]));
    cuda::check(cudaMemcpy(cols.data(), sources[m].cols + range[0], cols.size() * 4,
                           cudaMemcpyDeviceToHost),
                "reading columns");
    std::int32_t before = -1;
    for (const std::int32_t col : cols) {
      if (col < 0 || col >= grid.n_k) {
        throw Error(ErrorCode::invalid_mask, where + " holds column " + std::to_string(col) +
                                                 ", outside [0, " + std::to_string(grid.n_k) + ")");
      }
      if (col <= before) {
        throw Error(ErrorCode::invalid_mask, where + " holds column " + std::to_string(col) +
                                                 " after " + std::to_string(before) +
                                                 "; columns must increase strictly");
      }
      before = col;
    }
  }
  throw Error(ErrorCode::invalid_mask,
              "CSR mask: row " + std::to_string(row) + " changed while it was read");
}

}  // namespace attn::mask_build
