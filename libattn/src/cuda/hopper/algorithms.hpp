// SPDX-License-Identifier: Apache-2.0
//
// attn::Algorithm on Hopper: the kernels that run `lists`, given other lists; over rows for the
// forward pass and dQ, over columns for dK and dV. `dense` visits every tile as a full one, `naive`
// every tile as a partial one. For `bbm` and `dense_bbm` a kernel in front of every call scans one
// flag a tile and writes the list of those to visit (scan.cu): the loading warp itself could scan,
// but any other code in it cost the computing warpgroups their asynchronous products. It scans once
// for all heads, where the paper's kernel does for each.
#pragma once

#include <memory>
#include <span>

#include "attn/backend.hpp"
#include "cuda/hopper/prepared_mask.hpp"

namespace attn::hopper {

/// The mask as an algorithm other than `lists` reads it, with the bits of all strips, whatever is
/// in them, and with columns if a backward pass is to come. Throws Error{invalid_argument} for
/// `dense` and a mask that does not allow all.
[[nodiscard]] std::shared_ptr<const PreparedMask> prepare_algorithm(const BlockMask& mask,
                                                                    Algorithm algorithm,
                                                                    bool backward, int threads);

}  // namespace attn::hopper
