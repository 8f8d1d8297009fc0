#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""experiments/peers on the CPU: its oracle against autograd in fp64, and the records of a right and of
a wrong library. Returns 77 where torch or numpy is missing."""

import sys
import unittest
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "experiments" / "peers"))

try:
    import numpy  # noqa: F401
    import torch
    from torch.nn.attention.flex_attention import flex_attention  # noqa: F401
except ImportError as error:
    print(f"skipped: peers.py needs numpy and torch 2.6 or newer ({error})")
    sys.exit(77)

import peers  # noqa: E402
from fp64 import Oracle  # noqa: E402
from libraries import Sdpa, band_of  # noqa: E402

torch.set_grad_enabled(False)
B, H, H_KV, N_Q, N_K, D = 2, 4, 2, 150, 130, 16
SCALE = 0.25


def problem(seed=0):
    """A mask with an empty row and an empty column; Q, K, V, dO in bf16."""
    draw = torch.Generator().manual_seed(seed)
    mask = torch.rand(N_Q, N_K, generator=draw) < 0.3
    mask[7] = False
    mask[:, 9] = False
    shapes = [(B, H, N_Q, D), (B, H_KV, N_K, D), (B, H_KV, N_K, D), (B, H, N_Q, D)]
    return mask, [torch.randn(shape, generator=draw).bfloat16() for shape in shapes]


def attention(q, k, v, mask):
    k, v = (t.repeat_interleave(q.shape[1] // t.shape[1], dim=1) for t in (k, v))
    logits = (SCALE * (q @ k.mT)).masked_fill(~mask, -1e30)
    return torch.where(mask, logits.softmax(dim=-1), 0.0) @ v


def exact(mask, tensors):
    """O, dQ, dK, dV by autograd in fp64."""
    q, k, v, d_o = (t.double() for t in tensors)
    leaves = [t.requires_grad_() for t in (q, k, v)]
    with torch.enable_grad():
        o = attention(*leaves, mask)
    return [o.detach(), *torch.autograd.grad(o, leaves, d_o)]


class Fp64(unittest.TestCase):
    def setUp(self):
        self.mask, self.tensors = problem()
        q, k, v, d_o = self.tensors
        self.oracle = Oracle(self.mask, q, k, v, SCALE, 3, d_o)
        self.samples = [self.oracle.o, *(self.oracle.gradients[n] for n in ("dq", "dk", "dv"))]

    def test_it_has_what_autograd_has(self):
        for samples, tensor in zip(self.samples, exact(self.mask, self.tensors)):
            largest, nmse, wrong = samples.errors(tensor)
            self.assertLess(largest, 1e-13)
            self.assertLess(nmse, 1e-25)
            self.assertEqual(wrong, "")

    def test_it_finds_what_is_wrong(self):
        for samples, tensor in zip(self.samples, exact(self.mask, self.tensors)):
            planted = tensor.clone()
            planted[0, 0, samples.rows[-1], 0] += 1.1 * samples.tolerance
            self.assertIn("differs from fp64", samples.errors(planted)[2])
            planted[0, 0, samples.rows[-1], 0] = float("nan")
            self.assertIn("by inf", samples.errors(planted)[2])
            self.assertIn("mean square", samples.errors(tensor + 0.5 * samples.tolerance)[2])

    def test_many_rows_are_taken_in_parts(self):
        with mock.patch("fp64.ROWS_AT_ONCE", 64):
            q, k, v, d_o = self.tensors
            parts = Oracle(self.mask, q, k, v, SCALE, 3, d_o).gradients["dk"].exact
        for at, whole in self.oracle.gradients["dk"].exact.items():
            torch.testing.assert_close(parts[at], whole, rtol=0, atol=1e-13)


class Bands(unittest.TestCase):
    def test_masks_that_are_a_band(self):
        full = torch.ones(5, 5, dtype=torch.bool)
        self.assertEqual(band_of(full), (4, 4))
        self.assertEqual(band_of(full.tril()), (4, 0))
        self.assertEqual(band_of(full.tril(1).triu(-2)), (2, 1))
        holed = full.tril(1).triu(-2)
        holed[3, 2] = False
        for mask in (holed, full[:, :4], full.tril(-1)):
            self.assertIsNone(band_of(mask))


class Rounds:
    """A clock that runs what it is given and says that the n-th step took n ms."""

    def measure(self, *steps):
        for step in steps:
            step()
        return [[n + 1.0, n + 1.0] for n in range(len(steps))]


class Library:
    """Plain attention, `off` away from it."""

    name, trains = "library", True

    def __init__(self, off=0.0):
        self.off = off

    def prepare(self, mask, q, k, v, scale):
        return lambda q, k, v: attention(q.float(), k.float(), v.float(), mask).to(q.dtype) + self.off


def source(passes):
    shape = {"batch": B, "heads": H, "kv_heads": H_KV, "head_dim": D, "dtype": "bf16"}
    return {"key": "", "label": "", "ms": {"ordering": None}, "ordering": {"reordered": True},
            "mask": {"n_q": N_Q, "n_k": N_K, "nnz": 1},
            "problem": {"backend": "hopper", "mask": "m", "pipeline": "p", "pass": passes} | shape}


@mock.patch("torch.cuda.synchronize", lambda: None)
class Records(unittest.TestCase):
    def record(self, passes, library):
        mask, tensors = problem(1)
        tensors = tensors[:3] if passes == "fwd" else tensors
        oracle = Oracle(mask, *tensors[:3], SCALE, 3, *tensors[3:])
        rows, columns = (torch.randperm(n, generator=torch.Generator().manual_seed(n))
                         for n in mask.shape)
        masks = mask, (mask[rows][:, columns], rows, columns)
        return peers.record_of(source(passes), library, tensors, masks, oracle, Rounds())

    def test_passes(self):
        natural = {"fwd": 1, "bwd": 2, "both": 3}
        for passes, ms in natural.items():
            record = self.record(passes, Library())
            self.assertEqual(record["status"], "ok", record["error"])
            self.assertEqual(record["ms"]["natural"]["median"], ms)
            self.assertEqual(record["ms"]["permuted"]["median"], ms)
            self.assertEqual(record["permuted_call_ms"], 1 + ms + 1)
            self.assertEqual(record["gradients"] is None, passes == "fwd")
        self.assertEqual(record["ms"]["natural_passes"]["backward"]["median"], 2)
        for name in ("dq", "dk", "dv"):
            self.assertLess(record["gradients"][f"{name}_error"],
                            record["gradients"][f"{name}_tolerance"])

    def test_a_wrong_result_has_no_time(self):
        for passes in ("fwd", "both"):
            record = self.record(passes, Library(off=0.5))
            self.assertEqual((record["status"], record["ms"]), ("mismatch", None))
            self.assertIn("o differs from fp64 by 0.5", record["error"])

    def test_what_fails_has_nothing_of_our_own_record(self):
        record = peers.failed(source("bwd") | {"permuted_call_ms": 3.0}, Library(), ValueError("no"))
        self.assertEqual((record["status"], record["error"]), ("failed", "no"))
        self.assertIsNone(record["permuted_call_ms"])
        self.assertEqual(record["verification"]["rows"], 0)

    def test_sdpa_with_a_mask(self):
        mask, tensors = problem(2)
        tensors = [t.float() for t in tensors]
        mask[7, 0] = True  # it has NaN for a query without keys
        oracle = Oracle(mask, *tensors[:3], SCALE, 3, tensors[3])
        record = peers.record_of(source("both"), Sdpa(), tensors, (mask, None), oracle, Rounds())
        self.assertEqual(record["status"], "ok", record["error"])


if __name__ == "__main__":
    unittest.main()
