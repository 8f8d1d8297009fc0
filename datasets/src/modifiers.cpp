// SPDX-License-Identifier: Apache-2.0
#include "modifiers.hpp"

#include <utility>

#include "generator.hpp"
#include "random.hpp"
#include "reorder/permutation.hpp"

namespace masks {
namespace {

using reorder::CsrView;
using reorder::Ordering;
using reorder::Params;
using reorder::Permutation;

reorder::Csr shuffle(const CsrView& pattern, const Params& params) {
  Random rows(seed(params));
  if (pattern.is_square()) {
    return reorder::permute(pattern, Ordering::same(Permutation(rows.permutation(pattern.n_rows))));
  }
  Random cols(seed(params), 1);
  return reorder::permute(pattern, {Permutation(rows.permutation(pattern.n_rows)),
                                    Permutation(cols.permutation(pattern.n_cols)), false});
}

reorder::Csr transpose(const CsrView& pattern, const Params&) {
  return reorder::transpose(pattern);
}

}  // namespace

std::vector<Modifier> make_modifiers() {
  return {
      {{"shuffle",
        "one random order for the rows and columns of a square mask, one each for a rectangular",
        "",
        {seed_param()},
        true},
       shuffle},
      {{"transpose", "queries and keys change places", "", {}, true}, transpose},
  };
}

}  // namespace masks
