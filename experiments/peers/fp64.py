# SPDX-License-Identifier: Apache-2.0
"""Attention and its gradients in fp64, which peers.py holds every result against."""

import numpy as np
import torch

LIMIT_NMSE = 5e-4
ALLOWANCE = {torch.float16: 1e-3, torch.bfloat16: 8e-3, torch.float32: 1e-5}
ROWS_AT_ONCE = 2048  # × 16,384 keys of fp64 are a quarter of a gigabyte


def softmax(logits):
    """Of each row; a row without an allowed key gives 0."""
    return logits.softmax(dim=-1).nan_to_num(0.0)


class Samples:
    """Some rows of a tensor [B, H, N, D] as they should be, and by how much they may be off.

    `exact` and `plain` map (batch, head) to rows [len(rows), D]: in fp64, and by a plain computation
    in the tensors' dtype, whose error sets the tolerance.
    """

    def __init__(self, rows, exact, plain, dtype):
        self.rows, self.exact = rows, exact
        error = max((plain[at].double() - exact[at]).abs().max().item() for at in exact)
        self.tolerance = 2 * error + ALLOWANCE[dtype]

    def count(self):
        return len(self.exact) * len(self.rows)

    def errors(self, tensor):
        """The largest difference, the normalised mean square, and what is wrong with it or ""."""
        largest, squares, norm, values = 0.0, 0.0, 0.0, 0
        for (b, h), exact in self.exact.items():
            difference = (tensor[b, h, self.rows].double() - exact).abs()
            difference = difference.nan_to_num(float("inf"), posinf=float("inf"))
            largest = max(largest, difference.max().item())
            squares += difference.square().sum().item()
            norm += exact.square().sum().item()
            values += exact.numel()
        nmse = squares / norm if norm else 0.0
        wrong = ""
        if not largest <= self.tolerance:
            wrong = f"differs from fp64 by {largest:.3g}, allowed {self.tolerance:.3g}"
        # Values that cancel to nothing are judged by their differences alone.
        elif nmse > LIMIT_NMSE and (squares / values) ** 0.5 > self.tolerance / 8:
            wrong = f"has a normalised mean square of {nmse:.3g}, allowed {LIMIT_NMSE:.3g}"
        return largest, nmse, wrong


class Oracle:
    """O of some queries and, with dO, dQ of these and dK, dV of some keys.

    Samples are the first, the last, the heaviest and the lightest and others drawn by `seed`, of
    the first and the last head of the first and the last batch element. `mask` is a bool tensor
    [Nq, Nk]; gradients are summed over all queries, whose LSE is found in fp64 too.
    """

    def __init__(self, mask, q, k, v, scale, seed, d_o=None):
        self.mask, self.q, self.k, self.v, self.d_o = mask, q, k, v, d_o
        self.scale, self.group = scale, q.shape[1] // k.shape[1]
        draw = np.random.default_rng(seed)
        self.queries = self.drawn(mask.sum(dim=1), draw)
        heads = [(b, h) for b in {0, q.shape[0] - 1} for h in {0, q.shape[1] - 1}]
        passes = {real: {at: self.attend(*at, self.queries, real)[-1] for at in heads}
                  for real in (torch.float64, torch.float32)}
        self.o = self.samples(self.queries, passes)
        self.gradients = {}
        if d_o is None:
            return
        self.keys = self.drawn(mask.sum(dim=0), draw)
        kv_heads = [(b, h) for b in {0, k.shape[0] - 1} for h in {0, k.shape[1] - 1}]
        dq = {real: {at: self.dq(*at, real) for at in heads} for real in passes}
        dk_dv = {real: {at: self.dk_dv(*at, real) for at in kv_heads} for real in passes}
        self.gradients["dq"] = self.samples(self.queries, dq)
        for part, name in enumerate(("dk", "dv")):
            self.gradients[name] = self.samples(self.keys, {
                real: {at: both[part] for at, both in by_head.items()}
                for real, by_head in dk_dv.items()})

    def drawn(self, degrees, draw):
        n = len(degrees)
        rows = torch.from_numpy(draw.integers(0, n, 60)).to(degrees.device)
        ends = torch.tensor([0, n - 1], device=degrees.device)
        return torch.unique(
            torch.cat([ends, degrees.argmax()[None], degrees.argmin()[None], rows]))

    def samples(self, rows, passes):
        return Samples(rows, passes[torch.float64], passes[torch.float32], self.q.dtype)

    def rounded(self, tensor):
        """What the plain computation keeps in the tensors' dtype; fp64 stays as it is."""
        return tensor if tensor.dtype == torch.float64 else tensor.to(self.q.dtype).float()

    def attend(self, b, h, rows, real):
        """The weights and O of `rows`."""
        keys, values = (t[b, h // self.group].to(real) for t in (self.k, self.v))
        logits = self.scale * (self.q[b, h, rows].to(real) @ keys.T)
        weights = softmax(logits.masked_fill_(~self.mask[rows], float("-inf")))
        return weights, self.rounded(self.rounded(weights) @ values)

    def slopes(self, b, h, rows, real):
        """The weights of `rows` and the gradient by their logits."""
        weights, o = self.attend(b, h, rows, real)
        d_o = self.d_o[b, h, rows].to(real)
        by_weights = d_o @ self.v[b, h // self.group].to(real).T
        slopes = weights * (by_weights - (d_o * o).sum(dim=1, keepdim=True))
        return self.rounded(weights), self.rounded(slopes)

    def dq(self, b, h, real):
        _, slopes = self.slopes(b, h, self.queries, real)
        return self.rounded(self.scale * (slopes @ self.k[b, h // self.group].to(real)))

    def dk_dv(self, b, kv_head, real):
        """Of the sampled keys, over all queries and the heads that share the keys."""
        dk, dv = (torch.zeros(len(self.keys), t.shape[-1], dtype=real, device=t.device)
                  for t in (self.k, self.v))
        for h in range(kv_head * self.group, (kv_head + 1) * self.group):
            for rows in torch.arange(len(self.mask), device=dk.device).split(ROWS_AT_ONCE):
                weights, slopes = self.slopes(b, h, rows, real)
                dk += self.scale * (slopes[:, self.keys].T @ self.q[b, h, rows].to(real))
                dv += weights[:, self.keys].T @ self.d_o[b, h, rows].to(real)
        return self.rounded(dk), self.rounded(dv)
