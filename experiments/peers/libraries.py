# SPDX-License-Identifier: Apache-2.0
"""The attention libraries that peers.py times.

Each has a name and `prepare(mask, q, k, v, scale)`, which gives a call of q, k, v. The mask is a
bool tensor [Nq, Nk] that lives as long as the call: some libraries remember its address. One that
takes few masks has `may_take(record)`, so that the others need not be made. A call gives O with a
gradient where its tensors ask for one; a library for inference alone says `trains = False`.
"""

import importlib

import torch
from torch._inductor.kernel.flex import flex_attention as flex_lowering
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

# All variants of FlexAttention, head_dims and passes are compilations of one function.
torch._dynamo.config.recompile_limit = 64


def few_blocks(indices):
    """What max-autotune tries kernels on: 16 blocks a row, of which its own comment speaks, in place of
    all that there could be, which takes minutes for each backward pass."""

    def fake(counts):
        size = [int(n) for n in counts.get_size()]
        return torch.full(size, min(16, int(indices.get_size()[-1])), dtype=counts.get_dtype(),
                          device=counts.get_device())

    return fake


flex_lowering.create_num_blocks_fake_generator = few_blocks


class Absent(Exception):
    """A peer that this machine lacks."""


class Unfit(Exception):
    """A peer that cannot take this problem."""


def library(module, name=None):
    """A module, or what it calls `name`; sought when a peer is prepared, as few machines have all."""
    try:
        found = importlib.import_module(module)
    except ImportError as error:
        raise Absent(str(error)) from error
    if name is None:
        return found
    if not hasattr(found, name):
        raise Absent(f"{module} has no {name}")
    return getattr(found, name)


class Sdpa:
    """scaled_dot_product_attention with the mask as a tensor: no tile is skipped."""

    name = "torch-sdpa"
    trains = True

    def prepare(self, mask, q, k, v, scale):
        attn_mask = mask[None, None]
        gqa = q.shape[1] != k.shape[1]
        return lambda q, k, v: functional.scaled_dot_product_attention(
            q, k, v, attn_mask=attn_mask, scale=scale, enable_gqa=gqa)


class Cudnn:
    """cuDNN without a mask or with its causal switch, for the masks that are just that."""

    name = "cudnn"
    trains = True

    def may_take(self, record):
        n_q, n_k, allowed = (record["mask"][name] for name in ("n_q", "n_k", "nnz"))
        return allowed == n_q * n_k or n_q == n_k and allowed == n_q * (n_q + 1) // 2

    def prepare(self, mask, q, k, v, scale):
        allowed = int(mask.sum())
        n = mask.shape[0]
        causal = mask.shape[1] == n and allowed == n * (n + 1) // 2 and not mask.triu(1).any()
        if not causal and allowed != mask.numel():
            raise Unfit("neither dense nor causal")
        gqa = q.shape[1] != k.shape[1]

        def call(q, k, v):
            with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
                return functional.scaled_dot_product_attention(
                    q, k, v, is_causal=causal, scale=scale, enable_gqa=gqa)

        return call


class Flex:
    """FlexAttention, compiled; blocks of `block` and, with `mode`, tuned by max-autotune.

    The mask is a captured buffer: another of the same shape needs no other kernel, and max-autotune,
    which makes up its own blocks, tunes once for all of them. The blocks are found without compiling,
    which takes 10 ms a mask instead of 0.3 ms and half a minute once.
    """

    trains = True

    def __init__(self, name, block, mode=None, options=None, needs=None):
        self.name, self.block, self.options, self.needs = name, block, options, needs
        self.attention = torch.compile(flex_attention, dynamic=False, mode=mode)

    def prepare(self, mask, q, k, v, scale):
        if self.needs:
            library(self.needs)

        def allowed(b, h, i, j):
            return mask[i, j]

        block_mask = create_block_mask(
            allowed, None, None, *mask.shape, device=str(mask.device), BLOCK_SIZE=self.block)
        gqa = q.shape[1] != k.shape[1]
        return lambda q, k, v: self.attention(
            q, k, v, block_mask=block_mask, scale=scale, enable_gqa=gqa,
            kernel_options=self.options)


def band_of(mask):
    """How many keys before and after its own each query sees, where that is all that the mask says."""
    n = mask.shape[0]
    if mask.shape[1] != n or not mask[0, 0] or not mask[-1, -1]:
        return None
    before, after = int(mask[-1].sum()) - 1, int(mask[0].sum()) - 1
    places = torch.arange(n, dtype=torch.int32, device=mask.device)
    ahead = places - places[:, None]
    return (before, after) if torch.equal(mask, (ahead >= -before) & (ahead <= after)) else None


class FlashAttention:
    """flash-attn-4 by itself, for dense masks, causal ones and windows, which it computes from bounds."""

    name = "flash-attn-4"
    trains = True

    def prepare(self, mask, q, k, v, scale):
        attention = library("flash_attn.cute", "flash_attn_func")
        band = band_of(mask)
        if not band:
            raise Unfit("neither dense nor causal nor a window")
        open_ended = mask.shape[0] - 1
        causal = band == (open_ended, 0)
        window = (None, None) if causal else tuple(
            None if reach == open_ended else reach for reach in band)

        def call(q, k, v):
            rows_first = [t.transpose(1, 2) for t in (q, k, v)]
            o, *_ = attention(*rows_first, softmax_scale=scale, causal=causal, window_size=window)
            return o.transpose(1, 2)

        return call


class FlashInfer:
    """FlashInfer's block-sparse wrapper with the mask inside its blocks of 128 × 128."""

    name = "flashinfer"
    trains = False
    block = 128

    def prepare(self, mask, q, k, v, scale):
        flashinfer = library("flashinfer")
        size = self.block
        if mask.shape[0] % size or mask.shape[1] % size:
            raise Unfit(f"the mask's sides are no multiples of {size}")
        tiles = mask.view(mask.shape[0] // size, size, mask.shape[1] // size, size).transpose(1, 2)
        present = tiles.any(dim=-1).any(dim=-1)
        rows, columns = present.nonzero(as_tuple=True)
        starts = torch.zeros(present.shape[0] + 1, dtype=torch.int32, device=mask.device)
        starts[1:] = present.sum(dim=1).cumsum(0)
        batch, heads, _, width = q.shape
        wrapper = flashinfer.BlockSparseAttentionWrapper(
            torch.empty(128 << 20, dtype=torch.uint8, device=mask.device))
        # One mask for all: the batch goes into the heads.
        wrapper.plan(starts, columns.to(torch.int32), mask.shape[0], mask.shape[1], size, size,
                     batch * heads, batch * k.shape[1], width, mask=tiles[rows, columns],
                     q_data_type=q.dtype, o_data_type=q.dtype, sm_scale=scale)

        def call(q, k, v):
            rows_first = [t.flatten(0, 1).transpose(0, 1) for t in (q, k, v)]
            # It reads any strides, but writes rows of all heads side by side.
            out = torch.empty(rows_first[0].shape, dtype=q.dtype, device=q.device)
            return wrapper.run(*rows_first, out=out).transpose(0, 1).view(q.shape)

        return call


class Binflash:
    """seal-rg/binflash. The mask must stay alive: its cache goes by the address."""

    name = "binflash"
    trains = True

    def prepare(self, mask, q, k, v, scale):
        attention = library("binflash", "binflash_attention")
        if q.shape[1] != k.shape[1]:
            raise Unfit("it knows no grouped heads")
        return lambda q, k, v: attention(q, k, v, mask, sm_scale=scale)


def all_peers():
    tuned = "max-autotune-no-cudagraphs"
    return [
        Sdpa(),
        Cudnn(),
        Flex("flex", 128),
        Flex("flex-tuned", 128, mode=tuned),
        Flex("flex-tuned-64", 64, mode=tuned),
        Flex("flex-flash", 128, options={"BACKEND": "FLASH"}, needs="flash_attn.cute"),
        FlashAttention(),
        FlashInfer(),
        Binflash(),
    ]
