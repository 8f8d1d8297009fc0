# The kernels of the Hopper backend, one a line:
# dtype | head_dim | warpgroups of 64 rows | keys a tile | tiles of K and of V in flight | items
#
# At head_dim 128 the accumulators of two warpgroups fill the registers. At head_dim 64 three are
# faster on every mask measured (N = 8192, H100: dense 495 against 405 TF/s with two).
set(BLOCKFILL_HOPPER_KERNELS
    "bf16 |  64 | 3 | 128 | 4 | 4"
    "bf16 | 128 | 2 | 128 | 2 | 3"
    "f16  |  64 | 3 | 128 | 4 | 4"
    "f16  | 128 | 2 | 128 | 2 | 3")

# Those of the backward pass: dtype | head_dim
set(BLOCKFILL_HOPPER_BACKWARD_KERNELS "bf16 | 64" "bf16 | 128" "f16 | 64" "f16 | 128")
