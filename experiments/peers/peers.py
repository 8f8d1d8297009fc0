#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times other attention libraries on the masks of a results file, for a table side by side.

    blockfill sweep masks.json -o results.jsonl            # backend hopper, this machine
    peers.py results.jsonl --program build/hopper/experiments/blockfill
    blockfill table results.jsonl

For every record of the backend `hopper` (--of names another) each peer runs the same mask, shapes
and dtype: as the mask came and, where the record reordered it, on the reordered mask with the
gathers around it. What it gives is compared with fp64 as `blockfill run` compares its own result;
one record a peer is appended in the schema of docs/records.md. A wrong result is a record of status
`mismatch` and no time. A peer that is not installed is named once and left out.

Needs torch with CUDA and numpy.
"""

import argparse
import copy
import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

BEGUN = time.monotonic()


def tell(step):
    """What is under way and since when, so that a stall has a place."""
    print(f"{time.monotonic() - BEGUN:7.1f} s  {step}", file=sys.stderr, flush=True)


# A handful of small kernels: the pool of compiling processes takes longer to start than they take.
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
try:
    import torch
    import torch.nn.functional as functional
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention
except ImportError as missing:
    sys.exit(f"peers.py: {missing}; it needs torch 2.6 or newer with CUDA")


class Absent(Exception):
    """A peer that this machine lacks."""


class Unfit(Exception):
    """A peer that cannot take this problem."""


# ---------------------------------------------------------------- the peers
#
# Each has a name and `prepare(mask, q, k, v, scale)`, which gives a call of q, k, v. The mask is a
# bool tensor [Nq, Nk] that lives as long as the call: some peers remember its address. One that
# takes few masks has `may_take(record)`, so that the others need not be made.


class Sdpa:
    """scaled_dot_product_attention with the mask as a tensor: no tile is skipped."""

    name = "torch-sdpa"

    def prepare(self, mask, q, k, v, scale):
        attn_mask = mask[None, None]
        gqa = q.shape[1] != k.shape[1]
        return lambda q, k, v: functional.scaled_dot_product_attention(
            q, k, v, attn_mask=attn_mask, scale=scale, enable_gqa=gqa)


class Cudnn:
    """cuDNN without a mask or with its causal switch, for the masks that are just that."""

    name = "cudnn"

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
    """FlexAttention, compiled; blocks of `block` and, where tuned, max-autotune.

    The mask is a captured buffer: another of the same shape needs no other kernel. The blocks are
    found without compiling, which takes 10 ms a mask instead of 0.3 ms and half a minute once.
    """

    def __init__(self, name, block, mode=None, options=None, needs=None):
        self.name, self.block, self.options, self.needs = name, block, options, needs
        self.attention = torch.compile(flex_attention, dynamic=False, mode=mode)

    def prepare(self, mask, q, k, v, scale):
        if self.needs:
            try:
                __import__(self.needs)
            except ImportError as error:
                raise Absent(str(error)) from error

        def allowed(b, h, i, j):
            return mask[i, j]

        block_mask = create_block_mask(
            allowed, None, None, mask.shape[0], mask.shape[1], device="cuda", BLOCK_SIZE=self.block)
        gqa = q.shape[1] != k.shape[1]
        return lambda q, k, v: self.attention(
            q, k, v, block_mask=block_mask, scale=scale, enable_gqa=gqa,
            kernel_options=self.options)


class FlashInfer:
    """FlashInfer's block-sparse wrapper with the mask inside its blocks of 128 × 128."""

    name = "flashinfer"
    block = 128

    def prepare(self, mask, q, k, v, scale):
        try:
            import flashinfer
        except ImportError as error:
            raise Absent(str(error)) from error
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
                     q_data_type=q.dtype, sm_scale=scale)

        def call(q, k, v):
            rows_first = [t.flatten(0, 1).transpose(0, 1) for t in (q, k, v)]
            return wrapper.run(*rows_first).transpose(0, 1).view(q.shape)

        return call


class Binflash:
    """seal-rg/binflash. The mask must stay alive: its cache goes by the address."""

    name = "binflash"

    def prepare(self, mask, q, k, v, scale):
        try:
            from binflash import binflash_attention
        except ImportError as error:
            raise Absent(str(error)) from error
        if q.shape[1] != k.shape[1]:
            raise Unfit("it knows no grouped heads")
        return lambda q, k, v: binflash_attention(q, k, v, mask, sm_scale=scale)


def all_peers():
    return [
        Sdpa(),
        Cudnn(),
        Flex("flex", 128),
        Flex("flex-64", 64, options={"BLOCK_M": 64, "BLOCK_N": 64}),
        Flex("flex-tuned", 128, mode="max-autotune-no-cudagraphs"),
        Flex("flex-flash", 128, options={"BACKEND": "FLASH"}, needs="flash_attn.cute"),
        FlashInfer(),
        Binflash(),
    ]


# ---------------------------------------------------------------- measuring


def timing(milliseconds):
    quartiles = (statistics.quantiles(milliseconds, n=4, method="inclusive")
                 if len(milliseconds) > 1 else milliseconds * 3)
    return {"median": quartiles[1], "q1": quartiles[0], "q3": quartiles[2],
            "min": min(milliseconds), "samples": len(milliseconds)}


def measure(work, repeats, seconds):
    """Device times of `work`: after a warm-up, `repeats` at least and until `seconds` are over."""
    work()
    torch.cuda.synchronize()
    events, begun = [], time.monotonic()
    while len(events) < repeats or (time.monotonic() - begun < seconds and len(events) < 100):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        work()
        end.record()
        end.synchronize()
        events.append(start.elapsed_time(end))
    return timing(events)


class Oracle:
    """O of some queries in fp64, and how far a plain computation in the tensors' dtype is off."""

    SHARE = {torch.float16: 1e-3, torch.bfloat16: 8e-3, torch.float32: 1e-5}

    def __init__(self, mask, q, k, v, scale, seed):
        self.scale = scale
        degrees = mask.sum(dim=1)
        drawn = torch.from_numpy(np.random.default_rng(seed).integers(0, mask.shape[0], 60)).cuda()
        ends = torch.tensor([0, mask.shape[0] - 1], device="cuda")
        self.rows = torch.unique(
            torch.cat([ends, degrees.argmax()[None], degrees.argmin()[None], drawn]))
        self.allowed = mask[self.rows]
        group = q.shape[1] // k.shape[1]
        self.heads = [(b, h) for b in {0, q.shape[0] - 1} for h in {0, q.shape[1] - 1}]
        self.expected, plain_error = [], 0.0
        for b, h in self.heads:
            queries, keys, values = q[b, h, self.rows], k[b, h // group], v[b, h // group]
            exact = self.attend(queries.double(), keys.double(), values.double())
            plain = self.attend(queries, keys, values)
            plain_error = max(plain_error, (plain.double() - exact).abs().max().item())
            self.expected.append(exact)
        self.tolerance = 2 * plain_error + self.SHARE[q.dtype]

    def attend(self, queries, keys, values):
        logits = (queries @ keys.T) * self.scale
        weights = logits.masked_fill(~self.allowed, float("-inf")).softmax(dim=-1)
        return weights.nan_to_num(0.0) @ values  # a query without a key gives 0

    def errors(self, o):
        """The largest difference and the normalised mean square."""
        largest, squares, norm = 0.0, 0.0, 0.0
        for (b, h), exact in zip(self.heads, self.expected):
            difference = o[b, h, self.rows].double() - exact
            largest = max(largest, difference.abs().nan_to_num(float("inf")).max().item())
            squares += difference.square().sum().item()
            norm += exact.square().sum().item()
        return largest, squares / norm if norm else 0.0


class Pattern:
    """A mask as it came or as a pipeline ordered it, on the host: CSR, and the orders."""

    def __init__(self, shape, csr, orders):
        self.shape, self.csr, self.orders = shape, csr, orders

    def on_device(self):
        """The mask as a bool tensor; where its rows and its columns stood before."""
        if self.csr is None:
            mask = torch.ones(self.shape, dtype=torch.bool, device="cuda")
        else:
            starts, columns = (torch.from_numpy(a).cuda().long() for a in self.csr)
            mask = torch.zeros(self.shape, dtype=torch.bool, device="cuda")
            mask[torch.repeat_interleave(starts.diff()), columns] = True
        orders = [torch.from_numpy(order).cuda().long() for order in self.orders]
        # "order.npy" for one order, "order.cols.npy" and "order.rows.npy" for two.
        return mask, orders[-1], orders[0]


def load_pattern(program, record, pipeline, folder):
    """The mask of a record in the order of a pipeline."""
    problem, facts = record["problem"], record["mask"]
    shape = (facts["n_q"], facts["n_k"])
    if facts["nnz"] == shape[0] * shape[1]:  # a gigabyte of indices, and no order changes it
        return Pattern(shape, None, [np.arange(n) for n in reversed(shape)])
    folder.mkdir(parents=True)
    mask_file, order_file = folder / "mask.npz", folder / "order.npy"
    command = [program, "reorder", problem["mask"], "-p", pipeline, "-t", problem["tile"], "--seed",
               str(problem["seed"]), "--mask-output", str(mask_file), "-o", str(order_file),
               "--json"]
    if problem["objective"]:
        command += ["--objective", problem["objective"]]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        raise Unfit(run.stderr.strip())
    with np.load(mask_file) as arrays:
        csr = arrays["indptr"], arrays["indices"]
    orders = sorted(path for path in json.loads(run.stdout)["files"] if path.endswith(".npy"))
    return Pattern(shape, csr, [np.load(path) for path in orders])


def patterns_of(program, source, folder):
    """The mask as it came, and as the record's pipeline ordered it or None."""
    natural = load_pattern(program, source, "natural", folder / "natural")
    if not source["ordering"]["reordered"]:
        return natural, None
    return natural, load_pattern(program, source, source["problem"]["pipeline"], folder / "ordered")


def begun_record(source, peer):
    """The record of `source` under the peer's name, its results still those of `source`."""
    record = copy.deepcopy(source)
    record["problem"]["backend"] = peer.name
    record["walk"] = None
    later = ("kernel_tile", "cost_model", "budget", "scale")  # left out of a key where they say nothing
    record["key"] = " ".join(f"{name}={value}" for name, value in record["problem"].items()
                             if value not in ("", None) or name not in later)
    return record


def record_of(source, peer, tensors, masks, oracle, args):
    """The peer's record for the problem of `source`, whose mask is `masks[0]` and, in its new
    order with the orders beside it, `masks[1]`."""
    record = begun_record(source, peer)
    q, k, v = tensors
    mask, reordered = masks
    scale = oracle.scale
    begun = time.perf_counter()
    call = peer.prepare(mask, q, k, v, scale)
    torch.cuda.synchronize()
    prepared = 1e3 * (time.perf_counter() - begun)
    tell(f"    {peer.name}: prepared")
    largest, nmse = oracle.errors(call(q, k, v))
    tell(f"    {peer.name}: called, compiled where it had to be")
    times = dict.fromkeys(record["ms"])
    times.update(ordering=record["ms"]["ordering"], build_natural=timing([0.0]),
                 prepare_natural=timing([prepared]))

    if reordered:
        permuted, row_order, column_order = reordered
        call_permuted = peer.prepare(permuted, q, k, v, scale)
        moved = [torch.empty_like(t) for t in (q, k, v)]
        answer = torch.empty_like(q)
        back = row_order.argsort()

        def gather():
            for tensor, order, there in zip((q, k, v), (row_order, column_order, column_order),
                                            moved):
                torch.index_select(tensor, 2, order, out=there)

        gather()
        output = call_permuted(*moved)

        def scatter():
            torch.index_select(output, 2, back, out=answer)

        scatter()
        largest, nmse = (max(a, b) for a, b in zip((largest, nmse), oracle.errors(answer)))

    wrong = largest > oracle.tolerance or nmse > 5e-4
    record.update(status="mismatch" if wrong else "ok", best_path="natural", permuted_call_ms=None,
                  saved_ms=None, break_even_calls=None)
    if wrong:
        record["error"] = f"O differs from fp64 by {largest:.3g}, allowed {oracle.tolerance:.3g}"
        record["ms"] = None
    else:
        record["error"] = ""
        times["natural"] = measure(lambda: call(q, k, v), args.repeats, args.min_time)
        if reordered:
            times["gather"] = measure(gather, args.repeats, args.min_time)
            times["permuted"] = measure(lambda: call_permuted(*moved), args.repeats, args.min_time)
            times["scatter"] = measure(scatter, args.repeats, args.min_time)
            total = sum(times[part]["median"] for part in ("gather", "permuted", "scatter"))
            record.update(permuted_call_ms=total, best_path="gathered")
        tell(f"    {peer.name}: measured")
        record["ms"] = times
    record["verification"] = {
        "scope": "sample", "rows": len(oracle.heads) * len(oracle.rows),
        "rows_total": q.shape[0] * q.shape[1] * q.shape[2], "max_error": largest,
        "tolerance": oracle.tolerance, "max_lse_error": 0.0, "nmse": nmse,
        "mismatch": record["error"]}
    record["time"] = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return record


def scale_of(record):
    return record["problem"].get("scale") or record["problem"]["head_dim"] ** -0.5


def tensors_of(record):
    p = record["problem"]
    dtype = {"f16": torch.float16, "bf16": torch.bfloat16, "f32": torch.float32}[p["dtype"]]
    generator = torch.Generator("cuda").manual_seed(p["seed"] & (1 << 63) - 1)

    def normal(heads, rows):
        return torch.randn(p["batch"], heads, rows, p["head_dim"], device="cuda", dtype=dtype,
                           generator=generator)

    n_q, n_k = record["mask"]["n_q"], record["mask"]["n_k"]
    return normal(p["heads"], n_q), normal(p["kv_heads"], n_k), normal(p["kv_heads"], n_k)


def failed(source, peer, error):
    record = begun_record(source, peer)
    record.update(status="failed", error=" ".join(str(error).split())[:300], ms=None)
    return record


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("results", type=Path, help="a results file; the records are appended to it")
    parser.add_argument("--program", default="blockfill", help="the blockfill program")
    parser.add_argument("--of", default="hopper", help="the backend whose problems are taken")
    parser.add_argument("--peers", help="comma-separated names; all by default")
    parser.add_argument("--repeats", type=int, default=5, help="samples at least")
    parser.add_argument("--min-time", type=float, default=0.2, help="seconds a measurement")
    args = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("peers.py: torch sees no CUDA device")

    peers = all_peers()
    if args.peers:
        wanted = args.peers.split(",")
        known = {peer.name: peer for peer in peers}
        if unknown := [name for name in wanted if name not in known]:
            sys.exit(f"peers.py: no peer is named '{unknown[0]}'; there are {', '.join(known)}")
        peers = [known[name] for name in wanted]

    latest = {}
    for line in args.results.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        latest[record["key"]] = record
    sources = [r for r in latest.values()
               if r["problem"]["backend"] == args.of and r["status"] == "ok"
               and r["problem"].get("algorithm", "lists") == "lists"
               and r["problem"].get("pass", "fwd") == "fwd"]
    if not sources:
        sys.exit(f"peers.py: {args.results} has no finished record of the backend '{args.of}', "
                 "algorithm lists, pass fwd")

    tell(f"torch {torch.__version__} imported, {len(sources)} problems")
    absent, kept = set(), []
    torch.set_grad_enabled(False)
    with (tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(4) as ahead,
          args.results.open("a", encoding="utf-8") as out):
        pending = []
        for source in sources:
            wanted = [peer for peer in peers
                      if latest.get(begun_record(source, peer)["key"], {}).get("status") != "ok"
                      and (not hasattr(peer, "may_take") or peer.may_take(source))]
            if wanted:
                pending.append((source, wanted))
        # The next masks are made while the card measures.
        loaded = {source["key"]: ahead.submit(patterns_of, args.program, source,
                                              Path(folder) / str(number))
                  for number, (source, _) in enumerate(pending)}
        for source, wanted in pending:
            if absent.issuperset(peer.name for peer in wanted):
                continue
            try:
                patterns = loaded[source["key"]].result()
            except Unfit as error:
                print(f"{source['problem']['mask']}: {error}", file=sys.stderr)
                continue
            masks = tuple(pattern and pattern.on_device() for pattern in patterns)
            masks = (masks[0][0], masks[1])
            tell(f"{source['problem']['mask']}: on the device")
            kept.append(masks)  # to the end: a peer that goes by the address must not meet it again
            tensors = tensors_of(source)
            oracle = Oracle(masks[0], *tensors, scale_of(source), source["problem"]["seed"])
            tell("    tensors and their fp64 answer made")
            for peer in wanted:
                if peer.name in absent:
                    continue
                try:
                    record = record_of(source, peer, tensors, masks, oracle, args)
                except Absent as error:
                    print(f"{peer.name}: not here ({error})", file=sys.stderr)
                    absent.add(peer.name)
                    continue
                except Unfit:
                    continue
                except Exception as error:  # what a peer throws is its result
                    record = failed(source, peer, error)
                    torch.cuda.empty_cache()
                out.write(json.dumps(record, allow_nan=False) + "\n")
                out.flush()
                os.fsync(out.fileno())
                shown = (f"{record['ms']['natural']['median']:.3f} ms" if record["ms"]
                         else f"{record['status']}: {record['error']}")
                print(f"{source['label'] or source['problem']['mask']} · "
                      f"{source['problem']['pipeline']} · {peer.name}: {shown}", flush=True)


if __name__ == "__main__":
    main()
