// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

#include "attn/backend.hpp"
#include "cpu/prepared_mask.hpp"
#include "cpu/tile_bits.hpp"
#include "cpu/workspace.hpp"

namespace attn::cpu {

/// What one call of the forward pass needs besides the tensors.
struct Workspace {
  FloatBuffer packed;                  ///< K and V of a wave
  std::vector<TileBits> unsound;       ///< keys of each packed tile whose value is not finite
  std::vector<FloatBuffer> row_tiles;  ///< one a thread
};

/// Arguments must be valid.
void flash_forward(const PreparedMask& prepared, const ForwardArgs& args, Workspace& workspace);

/// Arguments must be valid, the mask prepared for it and the workspace large enough.
void flash_backward(const PreparedMask& prepared, const BackwardArgs& args);

/// In bytes, by the shapes in `args` alone.
[[nodiscard]] std::size_t flash_backward_workspace(const PreparedMask& prepared,
                                                   const BackwardArgs& args);

}  // namespace attn::cpu
