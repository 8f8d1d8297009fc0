// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <utility>

#include "reorder/npy.hpp"
#include "strategies/make.hpp"

namespace reorder {
namespace {

Permutation read_permutation(const std::string& file, std::int32_t n, const char* lines) {
  std::vector<std::int32_t> new_to_old = read_indices(file);
  if (new_to_old.size() != static_cast<std::size_t>(n)) {
    throw Error(ErrorCode::not_a_permutation,
                "'" + file + "' holds " + std::to_string(new_to_old.size()) +
                    " indices, but the mask has " + std::to_string(n) + " " + lines);
  }
  try {
    return Permutation(std::move(new_to_old));
  } catch (const Error& error) {
    throw Error(error.code(), "'" + file + "' is no permutation: " + error.what());
  }
}

}  // namespace

StrategyPtr make_file() {
  return make_strategy(
      {.name = "file",
       .summary = "an ordering from files: .npy of int32 or int64, or an index a line, new_to_old",
       .params = {{.name = "rows",
                   .fallback = std::string(),
                   .summary = "the rows' order, also the columns' when there is no other",
                   .required = true},
                  {.name = "cols", .fallback = std::string(), .summary = "the columns' order"}}},
      [](const CsrView& mask, const Params& params, const Context&) -> Ordering {
        Permutation rows = read_permutation(params.text("rows"), mask.n_rows, "rows");
        const std::string& cols_file = params.text("cols");
        if (!cols_file.empty()) {
          Permutation cols = read_permutation(cols_file, mask.n_cols, "columns");
          const bool symmetric = mask.is_square() && rows == cols;
          return {std::move(rows), std::move(cols), symmetric};
        }
        if (!mask.is_square()) {
          throw Error(ErrorCode::invalid_argument, "a mask of " + std::to_string(mask.n_rows) +
                                                       " x " + std::to_string(mask.n_cols) +
                                                       " needs a second file for its columns");
        }
        return Ordering::same(std::move(rows));
      });
}

}  // namespace reorder
