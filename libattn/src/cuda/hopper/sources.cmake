# The kernels of the Hopper backend, one a line:
# dtype | head_dim | warpgroups of 64 rows | keys a step | steps of K and of V in flight | items
#
# Where a head_dim has two, the first serves masks of which nearly every tile is full, the second
# all others. Measured on an H100 (ms, B = 4, N = 16384, 2048 / head_dim heads, bf16):
#
#     head_dim 128          dense  causal  Longformer  BigBird  packed samples  documents  window
#     2 x 64 rows, 128 keys  13.80    7.27       0.831    1.068           0.613      1.227   0.463
#     3 x 64 rows,  64 keys  14.53    8.04       0.822    0.958           0.539      1.174   0.467
#     head_dim 64
#     3 x 64 rows, 128 keys  17.31    9.43       1.077    1.324           0.671      1.427   0.554
#     3 x 64 rows,  64 keys  22.43               1.215    1.323           0.742      1.696   0.614
#     4 x 64 rows,  64 keys  21.34               1.177    1.333           0.724      1.611   0.593
set(BLOCKFILL_HOPPER_KERNELS
    "bf16 |  64 | 3 | 128 | 4 | 3"
    "bf16 | 128 | 2 | 128 | 2 | 2"
    "bf16 | 128 | 3 |  64 | 3 | 2"
    "f16  |  64 | 3 | 128 | 4 | 3"
    "f16  | 128 | 2 | 128 | 2 | 2"
    "f16  | 128 | 3 |  64 | 3 | 2")

# Those of the backward pass: dtype | head_dim
set(BLOCKFILL_HOPPER_BACKWARD_KERNELS "bf16 | 64" "bf16 | 128" "f16 | 64" "f16 | 128")
