#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times other attention libraries on the masks of a results file, for a table side by side.

    blockfill sweep masks.json -o results.jsonl            # backend hopper, this machine
    peers.py results.jsonl --program build/hopper/experiments/blockfill
    blockfill table results.jsonl

For every record of the backend `hopper` (--of names another) each peer (libraries.py) runs the same
mask, shapes, dtype and passes: as the mask came and, where the record reordered it, on the reordered
mask with the moves around it. What it gives is compared with fp64 (fp64.py); one record a peer is
appended in the schema of docs/records.md. A wrong result is a record of status `mismatch` and no time.
A peer that is not installed is named once and left out.

Times are of the device alone: a call is queued while the device still writes a large buffer, so that
what the host does before it launches is not counted. Of `bwd` the forward pass is not timed.

Needs torch with CUDA and numpy.
"""

import argparse
import copy
import datetime
import itertools
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


# Kernels to choose from are compiled by as many threads; this is read when torch is imported.
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", str(len(os.sched_getaffinity(0))))
try:
    import torch
    from torch._inductor import config as inductor
except ImportError as missing:
    sys.exit(f"peers.py: {missing}; it needs torch 2.6 or newer with CUDA")
# A pool of compiling processes takes longer to start than a handful of small kernels to compile.
inductor.compile_threads = 1

from fp64 import Oracle
from libraries import Absent, Unfit, all_peers

BUSY_BYTES = 2 << 30  # half a millisecond of writing: the longest that a library takes to launch


# ---------------------------------------------------------------- measuring


def timing(milliseconds):
    quartiles = (statistics.quantiles(milliseconds, n=4, method="inclusive")
                 if len(milliseconds) > 1 else milliseconds * 3)
    return {"median": quartiles[1], "q1": quartiles[0], "q3": quartiles[2],
            "min": min(milliseconds), "samples": len(milliseconds)}


class Clock:
    """Measures on the device: after a warm-up, `repeats` at least and until `seconds` are over."""

    def __init__(self, repeats, seconds):
        self.repeats, self.seconds = repeats, seconds
        self.buffer = torch.empty(BUSY_BYTES, dtype=torch.uint8, device="cuda")

    def measure(self, *steps):
        """The times in ms of each of the steps, which run one after another: a list a step."""
        for step in steps:
            step()
        torch.cuda.synchronize()
        rounds, begun = [], time.monotonic()
        while len(rounds) < self.repeats or (
                time.monotonic() - begun < self.seconds and len(rounds) < 100):
            marks = [torch.cuda.Event(enable_timing=True) for _ in range(len(steps) + 1)]
            self.buffer.zero_()
            marks[0].record()
            for step, mark in zip(steps, marks[1:]):
                step()
                mark.record()
            marks[-1].synchronize()
            rounds.append([a.elapsed_time(b) for a, b in itertools.pairwise(marks)])
        return list(zip(*rounds))


class Attention:
    """A call of a peer on tensors Q, K, V and, for gradients, dO."""

    def __init__(self, call, q, k, v, d_o=None):
        self.call, self.d_o = call, d_o
        self.inputs = [t.detach().requires_grad_(d_o is not None) for t in (q, k, v)]
        self.o, self.gradients = None, ()

    def forward(self):
        self.gradients = ()
        with torch.set_grad_enabled(self.d_o is not None):
            self.o = self.call(*self.inputs)

    def backward(self):
        self.gradients = torch.autograd.grad(self.o, self.inputs, self.d_o)

    def run(self):
        self.forward()
        if self.d_o is not None:
            self.backward()

    def times(self, clock, passes):
        """Of the passes asked for, and of each of two: see ms in docs/records.md."""
        if passes == "fwd":
            return timing(clock.measure(self.forward)[0]), None
        forward, backward = clock.measure(self.forward, self.backward)
        if passes == "bwd":
            return timing(backward), None
        return (timing([sum(pair) for pair in zip(forward, backward)]),
                {"forward": timing(forward), "backward": timing(backward)})


class Moves:
    """What a call in another order needs: rows gathered in front of it and scattered behind it."""

    def __init__(self, tensors, row_order, column_order, passes):
        self.passes = passes
        self.orders = [row_order, column_order, column_order, row_order]  # Q, K, V, dO
        self.backs = [order.argsort() for order in (row_order, row_order, column_order)]
        self.tensors = tensors
        self.moved = [torch.empty_like(t) for t in tensors]
        self.answers = []

    def gather(self):
        for tensor, order, there in zip(self.tensors, self.orders, self.moved):
            torch.index_select(tensor, 2, order, out=there)

    def scatter(self, attention):
        """O and the gradients that the passes give, into the caller's order."""
        rows, _, columns = self.backs
        given = [(attention.o, rows)] if self.passes != "bwd" else []
        given += zip(attention.gradients, (rows, columns, columns))
        self.answers = self.answers or [torch.empty_like(tensor) for tensor, _ in given]
        for (tensor, back), there in zip(given, self.answers):
            torch.index_select(tensor.detach(), 2, back, out=there)


# ---------------------------------------------------------------- masks



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


# ---------------------------------------------------------------- records


def begun_record(source, peer):
    """The record of `source` under the peer's name, its results still those of `source`."""
    record = copy.deepcopy(source)
    record["problem"]["backend"] = peer.name
    record.update(walk=None, best_path="natural", permuted_call_ms=None, saved_ms=None,
                  break_even_calls=None)
    later = ("kernel_tile", "gradients", "cost_model", "budget", "scale")  # left out of a key if empty
    record["key"] = " ".join(f"{name}={value}" for name, value in record["problem"].items()
                             if value not in ("", None) or name not in later)
    return record


def passes_of(record):
    return record["problem"].get("pass", "fwd")


class Verification:
    """The worst of what a peer gave, as `blockfill run` tells of its own results."""

    def __init__(self, oracle):
        self.oracle = oracle
        self.largest = dict.fromkeys(["o", *oracle.gradients], 0.0)
        self.nmse = dict(self.largest)
        self.mismatch = ""

    def check(self, name, tensor):
        samples = self.oracle.o if name == "o" else self.oracle.gradients[name]
        largest, nmse, wrong = samples.errors(tensor)
        self.largest[name] = max(self.largest[name], largest)
        self.nmse[name] = max(self.nmse[name], nmse)
        if wrong and not self.mismatch:
            self.mismatch = f"{name if name == 'o' else 'd' + name[1:].upper()} {wrong}"

    @staticmethod
    def none():
        return {"scope": "none", "rows": 0, "rows_total": 0, "max_error": 0.0, "tolerance": 0.0,
                "max_lse_error": 0.0, "nmse": 0.0, "mismatch": ""}

    def fields(self, q):
        oracle = self.oracle
        verification = {
            "scope": "sample", "rows": oracle.o.count(),
            "rows_total": q.shape[0] * q.shape[1] * q.shape[2], "max_error": self.largest["o"],
            "tolerance": oracle.o.tolerance, "max_lse_error": 0.0, "nmse": self.nmse["o"],
            "mismatch": self.mismatch}
        if not oracle.gradients:
            return verification, None
        gradients = {"scope": "sample", "queries": oracle.gradients["dq"].count(),
                     "keys": oracle.gradients["dk"].count()}
        for name, samples in oracle.gradients.items():
            gradients[f"{name}_error"] = self.largest[name]
            gradients[f"{name}_tolerance"] = samples.tolerance
        gradients["nmse"] = max(self.nmse[name] for name in oracle.gradients)
        return verification, gradients


def record_of(source, peer, tensors, masks, oracle, clock):
    """The peer's record for the problem of `source`, whose mask is `masks[0]` and, in its new
    order with the orders beside it, `masks[1]`."""
    record, passes = begun_record(source, peer), passes_of(source)
    mask, reordered = masks
    scale = oracle.scale
    gradients = list(oracle.gradients)
    begun = time.perf_counter()
    natural = Attention(peer.prepare(mask, *tensors[:3], scale), *tensors)
    torch.cuda.synchronize()
    prepared = 1e3 * (time.perf_counter() - begun)
    tell(f"    {peer.name}: prepared")
    natural.run()
    verification = Verification(oracle)
    for name, tensor in zip(["o", *gradients], [natural.o, *natural.gradients]):
        verification.check(name, tensor)
    tell(f"    {peer.name}: called, compiled where it had to be")

    if reordered:
        permuted_mask, row_order, column_order = reordered
        moves = Moves(tensors, row_order, column_order, passes)
        moves.gather()
        permuted = Attention(peer.prepare(permuted_mask, *moves.moved[:3], scale), *moves.moved)
        permuted.run()
        moves.scatter(permuted)
        for name, tensor in zip([*(["o"] if passes != "bwd" else []), *gradients], moves.answers):
            verification.check(name, tensor)

    wrong = verification.mismatch
    record.update(status="mismatch" if wrong else "ok", error=wrong)
    record["verification"], record["gradients"] = verification.fields(tensors[0])
    times = dict.fromkeys(record["ms"])
    times.update(ordering=record["ms"]["ordering"], build_natural=timing([0.0]),
                 prepare_natural=timing([prepared]))
    record["ms"] = None if wrong else times
    if not wrong:
        times["natural"], times["natural_passes"] = natural.times(clock, passes)
        if reordered:
            times["gather"] = timing(clock.measure(moves.gather)[0])
            times["permuted"], times["permuted_passes"] = permuted.times(clock, passes)
            times["scatter"] = timing(clock.measure(lambda: moves.scatter(permuted))[0])
            total = sum(times[part]["median"] for part in ("gather", "permuted", "scatter"))
            record.update(permuted_call_ms=total, best_path="gathered")
        tell(f"    {peer.name}: measured")
    record["time"] = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return record


def scale_of(record):
    return record["problem"].get("scale") or record["problem"]["head_dim"] ** -0.5


def tensors_of(record):
    """Q, K, V and, for gradients, dO."""
    p = record["problem"]
    dtype = {"f16": torch.float16, "bf16": torch.bfloat16, "f32": torch.float32}[p["dtype"]]
    generator = torch.Generator("cuda").manual_seed(p["seed"] & (1 << 63) - 1)
    n_q, n_k = record["mask"]["n_q"], record["mask"]["n_k"]
    shapes = [(p["heads"], n_q), (p["kv_heads"], n_k), (p["kv_heads"], n_k)]
    if passes_of(record) != "fwd":
        shapes.append((p["heads"], n_q))
    return [torch.randn(p["batch"], heads, rows, p["head_dim"], device="cuda", dtype=dtype,
                        generator=generator) for heads, rows in shapes]


def failed(source, peer, error):
    record = begun_record(source, peer)
    record.update(status="failed", error=" ".join(str(error).split())[:300], ms=None,
                  verification=Verification.none(), gradients=None)
    return record


def takes(peer, source):
    return ((peer.trains or passes_of(source) == "fwd")
            and (not hasattr(peer, "may_take") or peer.may_take(source)))


def read_latest(file):
    """The last record of each key."""
    latest = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        latest[record["key"]] = record
    return latest


def parsed():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("results", type=Path, help="a results file; the records are appended to it")
    parser.add_argument("--program", default="blockfill", help="the blockfill program")
    parser.add_argument("--of", default="hopper", help="the backend whose problems are taken")
    parser.add_argument("--peers", help="comma-separated names; all by default")
    parser.add_argument("--repeats", type=int, default=5, help="samples at least")
    parser.add_argument("--min-time", type=float, default=0.2, help="seconds a measurement")
    return parser.parse_args()


def chosen_peers(names):
    peers = all_peers()
    if not names:
        return peers
    known = {peer.name: peer for peer in peers}
    if unknown := [name for name in names.split(",") if name not in known]:
        sys.exit(f"peers.py: no peer is named '{unknown[0]}'; there are {', '.join(known)}")
    return [known[name] for name in names.split(",")]


def main():
    args = parsed()
    if not torch.cuda.is_available():
        sys.exit("peers.py: torch sees no CUDA device")
    peers = chosen_peers(args.peers)
    latest = read_latest(args.results)
    sources = [r for r in latest.values()
               if r["problem"]["backend"] == args.of and r["status"] == "ok"
               and r["problem"].get("algorithm", "lists") == "lists"
               and not r["problem"].get("gradients")]
    if not sources:
        sys.exit(f"peers.py: {args.results} has no finished record of the backend '{args.of}', "
                 "algorithm lists")

    tell(f"torch {torch.__version__} imported, {len(sources)} problems")
    # Problems of one mask follow each other, so that it is made once.
    by_mask = {}
    for source in sources:
        wanted = [peer for peer in peers if takes(peer, source)
                  and latest.get(begun_record(source, peer)["key"], {}).get("status") != "ok"]
        if wanted:
            p = source["problem"]
            key = tuple(p.get(name) for name in ("mask", "pipeline", "tile", "objective", "seed"))
            by_mask.setdefault(key, []).append((source, wanted))
    torch.set_grad_enabled(False)
    clock, absent, kept = Clock(args.repeats, args.min_time), set(), []
    with (tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(4) as ahead,
          args.results.open("a", encoding="utf-8") as out):
        # The next masks are made while the card measures.
        loaded = {key: ahead.submit(patterns_of, args.program, problems[0][0],
                                    Path(folder) / str(number))
                  for number, (key, problems) in enumerate(by_mask.items())}
        for key, problems in by_mask.items():
            try:
                patterns = loaded.pop(key).result()
            except Unfit as error:
                print(f"{key[0]}: {error}", file=sys.stderr)
                continue
            masks = tuple(pattern and pattern.on_device() for pattern in patterns)
            masks = (masks[0][0], masks[1])
            tell(f"{key[0]}: on the device")
            kept.append(masks)  # to the end: a peer that goes by the address must not meet it again
            for source, wanted in problems:
                tensors = tensors_of(source)
                oracle = Oracle(masks[0], *tensors[:3], scale_of(source), source["problem"]["seed"],
                                *tensors[3:])
                tell(f"    {source['key']}: tensors and their fp64 answer made")
                for peer in wanted:
                    if peer.name in absent:
                        continue
                    try:
                        record = record_of(source, peer, tensors, masks, oracle, clock)
                    except Absent as error:
                        print(f"{peer.name}: not here ({error})", file=sys.stderr)
                        absent.add(peer.name)
                        continue
                    except Unfit:
                        continue
                    except Exception as error:  # what a peer throws is its result
                        record = failed(source, peer, error)
                        torch.cuda.empty_cache()
                    append(out, record)


def append(out, record):
    out.write(json.dumps(record, allow_nan=False) + "\n")
    out.flush()
    os.fsync(out.fileno())
    p = record["problem"]
    shown = (f"{record['ms']['natural']['median']:.3f} ms" if record["ms"]
             else f"{record['status']}: {record['error']}")
    print(f"{record['label'] or p['mask']} · {p['pipeline']} · D={p['head_dim']} · "
          f"{passes_of(record)} · {p['backend']}: {shown}", flush=True)


if __name__ == "__main__":
    main()
