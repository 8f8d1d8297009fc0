#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What share of a transformer block attention has, and what one order for the whole network saves.

    blockfill sweep block.json -o results.jsonl            # symmetric orders, backend hopper
    block.py results.jsonl --layers 24

Attention's times are those of the records. The rest of a block is run here, by torch at the same
batch, tokens and width: two RMS norms, the projections to Q, K, V and back, an MLP of four times the
width, the residual sums. A block then takes

    natural       rest + attention in the caller's order
    each layer    rest + attention that reads and writes through the order (ms.fused)
    once          rest + attention in the new order (ms.permuted) + its share of moving the tokens
                  into the order before the first layer and back after the last

The last needs one order for queries and keys; rows whose order is not symmetric are left out. With a
record of pass "both" the rest is run forward and backward as well.

Needs torch with CUDA.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path

try:
    import torch
except ImportError as missing:
    sys.exit(f"block.py: {missing}; it needs torch with CUDA")


class Rest(torch.nn.Module):
    """A block without attention: what attention would return is given."""

    def __init__(self, width, kv_width, dtype):
        super().__init__()

        def linear(inputs, outputs):
            return torch.nn.Linear(inputs, outputs, bias=False, device="cuda", dtype=dtype)

        self.norms = torch.nn.ModuleList(
            torch.nn.RMSNorm(width, device="cuda", dtype=dtype) for _ in range(2))
        self.to_qkv = linear(width, width + 2 * kv_width)
        self.to_out = linear(width, width)
        self.up, self.down = linear(width, 4 * width), linear(4 * width, width)

    def forward(self, x, attended):
        qkv = self.to_qkv(self.norms[0](x))
        x = x + self.to_out(attended)
        x = x + self.down(torch.nn.functional.gelu(self.up(self.norms[1](x))))
        return x, qkv


def milliseconds(work, samples=10):
    """The median on the device, after two calls to warm up."""
    times = []
    for sample in range(samples + 2):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        work()
        end.record()
        end.synchronize()
        if sample >= 2:
            times.append(start.elapsed_time(end))
    return statistics.median(times)


def measure_rest(problem, n):
    """The rest of a block, and moving its tokens once, in ms."""
    dtype = {"f16": torch.float16, "bf16": torch.bfloat16}[problem["dtype"]]
    width = problem["heads"] * problem["head_dim"]
    training = problem.get("pass", "fwd") == "both"
    rest = Rest(width, problem["kv_heads"] * problem["head_dim"], dtype)
    x, attended = (torch.randn(problem["batch"], n, width, device="cuda", dtype=dtype,
                               requires_grad=training) for _ in range(2))
    order = torch.randperm(n, device="cuda")

    def step():
        out, qkv = rest(x, attended)
        if training:
            torch.autograd.backward([out, qkv], [out.detach(), qkv.detach()])

    def move():
        return x.detach().index_select(1, order)

    with torch.set_grad_enabled(training):
        return milliseconds(step), milliseconds(move)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("results", type=Path, help="records of `blockfill sweep`")
    parser.add_argument("--layers", type=int, default=24, help="blocks that share one order")
    args = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("block.py: torch sees no CUDA device")
    latest = {}
    for line in args.results.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        latest[record["key"]] = record
    fit = [r for r in latest.values()
           if r["status"] == "ok" and r["ms"]["permuted"] and r["ordering"]["symmetric"]
           and r["problem"]["dtype"] in ("f16", "bf16") and r["problem"].get("pass") != "bwd"]
    if not fit:
        sys.exit(f"block.py: {args.results} has no reordered record with a symmetric order")

    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {args.layers} layers; "
          "ms a block, in brackets attention's share")
    print("| mask | order | pass | rest | natural | each layer | once | natural / once |")
    print("|---|---|---|--:|--:|--:|--:|--:|")
    known = {}
    for record in fit:
        problem, n = record["problem"], record["mask"]["n_q"]
        setting = tuple(problem[name] for name in ("batch", "heads", "kv_heads", "head_dim", "dtype",
                                                   "pass")) + (n,)
        if setting not in known:
            known[setting] = measure_rest(problem, n)
        rest, move = known[setting]
        times = record["ms"]
        ways = [times["natural"]["median"], times["fused"]["median"],
                times["permuted"]["median"] + 2 * move / args.layers]
        cells = [f"{rest + ms:.2f} ({100 * ms / (rest + ms):.0f} %)" for ms in ways]
        pipeline = problem["pipeline"].replace("|", "\\|")
        print(f"| {problem['mask']} | {pipeline} | {problem['pass']} | {rest:.2f} | "
              f"{' | '.join(cells)} | {(rest + ways[0]) / (rest + ways[2]):.2f} |", flush=True)


if __name__ == "__main__":
    main()
