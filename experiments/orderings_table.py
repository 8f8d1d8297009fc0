#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the tables of docs/orderings.md: non-empty tiles by mask family and pipeline.

    experiments/orderings_table.py build/cpu/experiments/blockfill -o orderings.jsonl > tables.md
    experiments/plot.py pareto orderings.jsonl -o docs/images/orderings-pareto.png

Every mask is shuffled. Each figure is the geometric mean over generator seeds x shuffle seeds; a
family without random numbers has shuffle seeds alone. "own order" is the generator's or the file's,
before the shuffle. Masks of unseen_masks.py, on which nothing was tuned, make a table of their own.
Raw results are appended to the -o file, a line a mask; masks that it holds are not run again.
"""

import argparse
import concurrent.futures
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import unseen_masks

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

BASELINES = ["rcm", "amd", "metis_nd", "metis_rb", "similar"]
OURS = ["peel|signature|bipartite_rcm", "staircase", "grow"]


def fail(sentence):
    print(f"orderings_table.py: {sentence}", file=sys.stderr)
    sys.exit(1)


class Runner:
    def __init__(self, arguments):
        self.program = arguments.program
        self.tile = arguments.tile
        self.threads = arguments.threads
        self.auto = f"auto(work={arguments.work})"

    def call(self, *words):
        command = [self.program, *words, "--json"]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode != 0:
            fail(f"{' '.join(command)}: {run.stderr.strip()}")
        return json.loads(run.stdout)

    def measure(self, job):
        """Tiles and seconds of every pipeline on one shuffled mask."""
        pipelines = ["natural", *BASELINES, *OURS, self.auto]
        shuffled = f"{job['mask']}|shuffle(seed={job['shuffle']})"
        report = self.call("reorder", shuffled, "-p", f"best_of({','.join(pipelines)})", "-t",
                           self.tile, "--seed", str(job["shuffle"]), "--threads",
                           str(self.threads))
        own = self.call("fill", job["mask"], "--tiles", self.tile)["tiles"][0]
        results = {}
        # In the order asked for; a pipeline that cannot take the mask has an error.
        for pipeline, candidate in zip(pipelines, report["ordering"]["candidates"]):
            name = "auto" if pipeline == self.auto else pipeline
            if not candidate["error"]:
                results[name] = {"tiles": candidate["objective"], "ms": candidate["ms"]}
        return {**job, "tile": self.tile, "threads": self.threads, "auto": self.auto,
                "own": own["nonempty"], "bound": report["lower_bound"], "results": results}


def jobs_of(arguments, folder):
    """One a mask: its class, family, text and seeds."""
    jobs = []
    for family, generator in FAMILIES:
        text = generator.replace("n=N", f"n={arguments.n}")
        seeds = range(1, arguments.seeds + 1) if "SEED" in text else [1]
        jobs += [{"class": "generated", "family": family, "mask": text.replace("SEED", str(seed)),
                  "n": arguments.n, "shuffle": shuffle}
                 for seed in seeds for shuffle in range(1, arguments.shuffles + 1)]
    for seed in range(1, arguments.seeds + 1):
        for family, path in unseen_masks.write(folder, arguments.n, seed).items():
            jobs += [{"class": "unseen", "family": family, "mask": str(path), "n": arguments.n,
                      "shuffle": shuffle} for shuffle in range(1, arguments.shuffles + 1)]
    for path in arguments.matrices:
        jobs += [{"class": "unseen", "family": Path(path).stem, "mask": path, "n": 0,
                  "shuffle": shuffle} for shuffle in range(1, arguments.shuffles + 1)]
    return [job for job in jobs if arguments.only in job["family"]]


def key_of(record):
    # A file of unseen_masks.py lies in another folder on every run.
    return (Path(record["mask"]).name, record["n"], record["shuffle"], record["tile"],
            record["auto"])


def mean(values):
    return math.exp(sum(math.log(max(value, 1)) for value in values) / len(values))


def print_table(title, records):
    columns = [*BASELINES, *OURS, "auto"]
    print(f"\n### {title}\n")
    print("| family | masks | own order | bound | "
          + " | ".join("`" + c.replace("|", "\\|") + "`" for c in columns)
          + " | `auto` ÷ best baseline |")
    print("|---|" + "---|" * (len(columns) + 4))
    families = {}
    for record in records:
        families.setdefault(record["family"], []).append(record)
    ratios = {c: [] for c in columns}
    for family, masks in families.items():
        means = {}
        for column in columns:
            if all(column in m["results"] for m in masks):
                means[column] = mean([m["results"][column]["tiles"] for m in masks])
        least = min(means.values())
        cells = [("**{:,.0f}**" if means[c] <= 1.001 * least else "{:,.0f}").format(means[c])
                 if c in means else "–" for c in columns]
        other = min(value for column, value in means.items() if column in BASELINES)
        for column, value in means.items():
            ratios[column].append(value / means["auto"])
        print(f"| {family} | {len(masks)} | {mean([m['own'] for m in masks]):,.0f} | "
              f"{mean([m['bound'] for m in masks]):,.0f} | " + " | ".join(cells)
              + f" | {means['auto'] / other:.3f} |")
    print("| tiles ÷ those of `auto`, mean | | | | "
          + " | ".join(f"{mean_ratio(ratios[c]):.2f}" for c in columns) + " | |")
    print("| worst family of `auto` against it | | | | "
          + " | ".join(f"{1 / min(ratios[c]):.2f}" if ratios[c] else "–" for c in columns) + " | |")


def mean_ratio(values):
    return math.exp(sum(map(math.log, values)) / len(values)) if values else float("nan")


def run_all(arguments, records, output, folder):
    runner = Runner(arguments)
    jobs = jobs_of(arguments, folder)
    done = {key_of(r) for r in records}
    todo = [j for j in jobs
            if key_of({**j, "tile": runner.tile, "auto": runner.auto}) not in done]
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        for number, record in enumerate(pool.map(runner.measure, todo), 1):
            records.append(record)
            output.write(json.dumps(record, ensure_ascii=False) + "\n")
            output.flush()
            print(f"{number}/{len(todo)} {record['family']}", file=sys.stderr)
    wanted = {key_of({**j, "tile": runner.tile, "auto": runner.auto}) for j in jobs}
    return [r for r in records if key_of(r) in wanted]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="the built blockfill")
    parser.add_argument("matrices", nargs="*", help="further masks: .mtx, .mtx.gz, .npz, .npy")
    parser.add_argument("-o", "--output", required=True, metavar="RESULTS.jsonl")
    parser.add_argument("-n", type=int, default=16384, help="tokens (default: %(default)s)")
    parser.add_argument("--tile", default="128x128")
    parser.add_argument("--seeds", type=int, default=3, help="generator seeds")
    parser.add_argument("--shuffles", type=int, default=2, help="shuffle seeds")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="masks at a time")
    parser.add_argument("--threads", type=int, default=1, help="of each; tiles do not depend on it")
    parser.add_argument("--work", type=int, default=1_250_000_000,
                        help="what auto may spend: 5 s of one core (default: %(default)s)")
    parser.add_argument("--only", default="", help="families with this in their name")
    arguments = parser.parse_args()

    records = []
    if Path(arguments.output).exists():
        lines = Path(arguments.output).read_text(encoding="utf-8").splitlines()
        records = [json.loads(line) for line in lines]
    with tempfile.TemporaryDirectory() as folder, \
            open(arguments.output, "a", encoding="utf-8") as output:
        records = run_all(arguments, records, output, folder)
    for name, title in (("generated", "Masks of the generators"), ("unseen", "Unseen matrices")):
        some = [r for r in records if r["class"] == name]
        if some:
            print_table(title, some)


if __name__ == "__main__":
    main()
