#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the table of docs/orderings.md: non-empty tiles by mask family and pipeline.

    experiments/orderings_table.py build/cpu/experiments/blockfill > table.md

Each figure is the geometric mean over the seeds, each of which seeds the generator, the shuffle
and the ordering. The first column is the generator's own order before it is shuffled.
"""

import argparse
import json
import math
import subprocess
import sys

# Name, generator with SEED in the place of a seed. N is the number of tokens.
FAMILIES = [
    ("Longformer ±256, 64 globals", "longformer(n=N,window=256,globals=64)"),
    ("Longformer ±128·8, 16 globals", "longformer(n=N,window=128,dilation=8,globals=16)"),
    ("packed causal documents", "docs(n=N,seed=SEED)"),
    ("packed samples, two-way prompts", "docs(n=N,seed=SEED,mode=prompt,median=270)"),
    ("windows and sinks", "cdw_sinks(n=N,seed=SEED)"),
    ("BigBird, 64×64 blocks", "bigbird(n=N,seed=SEED)"),
    ("BigBird, random tokens", "bigbird_token(n=N,seed=SEED)"),
    ("64-node trees", "trees(n=N,nodes=64,seed=SEED)"),
    ("1,024-node trees", "trees(n=N,nodes=1024,seed=SEED)"),
    ("grid, 2-d", "grid2d(n=N)"),
    ("grid, 3-d", "grid3d(n=N)"),
    ("kNN graph", "knn(n=N,k=16,seed=SEED)"),
    ("SBM", "sbm(n=N,seed=SEED)"),
    ("R-MAT", "rmat(n=N,edges=16,seed=SEED)"),
    ("Erdős–Rényi, degree 2", "er(n=N,degree=2,seed=SEED)"),
    ("Erdős–Rényi, degree 8", "er(n=N,degree=8,seed=SEED)"),
    ("rectangular topics", "rect_topics(n=N,seed=SEED)"),
]

PIPELINES = [
    "rcm", "amd", "metis_nd", "metis_rb", "peel|signature|bipartite_rcm", "staircase", "grow",
]


def reorder(program, mask, pipeline, tile, seed, threads):
    """The program's report, or None where the pipeline cannot take the mask."""
    command = [program, "reorder", mask, "-p", pipeline, "-t", tile, "--seed", str(seed),
               "--threads", str(threads), "--json"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode == 2:
        return None
    if run.returncode != 0:
        sys.exit(f"{' '.join(command)}: {run.stderr.strip()}")
    return json.loads(run.stdout)


def mean(values):
    if any(value is None for value in values):
        return "–"
    return f"{math.exp(sum(math.log(v) for v in values) / len(values)):,.0f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program", help="the built blockfill")
    parser.add_argument("-n", type=int, default=16384, help="tokens")
    parser.add_argument("--tile", default="128x128")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--auto", default="auto(work=1250000000)", help="the last column")
    arguments = parser.parse_args()

    pipelines = PIPELINES + [arguments.auto]
    heads = ["family", "own order", "bound"] + [f"`{p}`" for p in pipelines[:-1]] + ["`auto`"]
    print("| " + " | ".join(h.replace("|", "\\|") for h in heads) + " |")
    print("|---|" + "---|" * (len(heads) - 1), flush=True)
    for name, generator in FAMILIES:
        cells = {key: [] for key in ["own", "bound", *pipelines]}
        seeds = range(1, arguments.seeds + 1) if "SEED" in generator else [1]
        for seed in seeds:
            mask = generator.replace("SEED", str(seed)).replace("n=N", f"n={arguments.n}")
            options = (arguments.tile, seed, arguments.threads)
            cells["own"].append(
                reorder(arguments.program, mask, "natural", *options)["before"]["nonempty"])
            for pipeline in pipelines:
                report = reorder(arguments.program, f"{mask}|shuffle(seed={seed})", pipeline,
                                 *options)
                cells[pipeline].append(report and report["after"]["nonempty"])
                if pipeline == arguments.auto:
                    cells["bound"].append(report["lower_bound"])
        row = [name] + [mean(cells[key]) for key in ["own", "bound", *pipelines]]
        print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
