#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fills the tables of docs/results.md from the records of blockfill.

    results_tables.py docs/results.md paper.jsonl peers.jsonl occupancy.jsonl

A table stands between the comments `<!-- table NAME -->` and `<!-- end -->`; what lies between them
is written anew, with the card, the date and the commit of the records below it. A table for which
the files hold no record stays as it is and is named. Files may be gzipped; a NAME.md, such as what
peers/block.py printed, is a table by itself, and a .txt is what mask_build_bench printed. NAME is
one of

    paper DTYPE PASS      the masks of arXiv 2409.15097 at N = 16,384
    peers HEAD_DIM PASS   other libraries on masks as they come (configs/peers.json)
    brief PASS            ours against the best of them
    ordered PASS          ... and on masks that an order helps (configs/peers_ordered.json)
    pays BACKEND N        when reordering pays (configs/occupancy.json)
    model                 what the model of a call is off by (configs/imbalance.json)
    study BACKEND N       how well the model fits the study of occupancy (configs/occupancy.json)
    preprocessing         how long a mask takes to become lists and bits
"""

import argparse
import gzip
import json
import math
import re
import sys
from pathlib import Path

FIGURES = Path(__file__).parent / "paper" / "figures.json"
N = 16384

# Rows of the paper's table: what a mask is called, its text, the ratio that was asked for, and why
# ratios differ from the paper's.
SKIPS = "parts of 64×64 are skipped and listed, there tiles of 128×32 whose flags are scanned"
LOADS = "what is left is near reading Q, K, V and writing O"
PAPER_MASKS = [
    ("packed ALPACA, causal", f"alpaca(n={N})", 20, SKIPS),
    ("packed ALPACA, input bidirectional", f"alpaca(n={N},mode=bidirectional)", 20, SKIPS),
    ("Medusa, 3 children, 8 levels", "medusa(s=3,k=8)", 25, "a third has no key; " + SKIPS),
    ("Medusa, 10 children, 4 levels", "medusa(s=10,k=4)", None, "as above"),
    ("Medusa, 8 levels, all ancestors", "medusa(s=3,k=8,sees=ancestors)", None, "not timed there"),
    ("Longformer, windowed", f"longformer_paper(n={N})", 38, LOADS),
    (
        "Longformer, dilated",
        f"longformer_paper(n={N},dilation=2)",
        38,
        "which dilation was timed is not known; 2 here",
    ),
    (
        "Longformer, global tokens as timed",
        f"longformer_paper(n={N},globals=timed)",
        25,
        "not reordered there; its random tokens are unseeded and differ between its arms",
    ),
    (
        "Longformer, global tokens, whole lines",
        f"longformer_paper(n={N},globals=fixed)",
        None,
        "drawn there, not timed",
    ),
    (
        "random symmetric, second formula",
        f"rcm_paper(n={N},formula=commented)",
        18,
        "neither rows are moved nor O moved back there: compare with the column before",
    ),
    ("random symmetric, active formula", f"rcm_paper(n={N})", None, "not timed there"),
    ("causal", f"causal(n={N})", None, "its flags are scanned, here its tiles are listed"),
    ("all ones", f"dense(n={N})", None, "the same"),
]

PEER_MASKS = [
    ("dense", f"dense(n={N})"),
    ("causal", "peer:causal"),
    ("window ±128", "peer:window128"),
    ("causal window 256", "peer:causal_window256"),
    ("Longformer ±256, 64 globals", "peer:longformer_w256_g64"),
    ("BigBird", "peer:bigbird_w96_g64_r3"),
    ("packed samples, mean 270", "peer:alpaca_like_mean270"),
    ("packed documents, mean 1024", "peer:docs_mean1024"),
    ("64-node trees", "peer:tree64_packed"),
    ("windows + sinks", "peer:cdw_sinks"),
]
ORDERED_MASKS = [
    ("Longformer ±128, dilation 8, 16 globals", "peer:longformer_w128_dil8_g16"),
    ("packed documents, shuffled", "peer:shuffled_docs1024"),
    ("Longformer of the paper, whole global lines", f"longformer_paper(n={N},globals=fixed)"),
]
PEERS = [
    ("cuDNN", "cudnn"),
    ("Flex", "flex"),
    ("Flex 64", "flex-64"),
    ("Flex tuned", "flex-tuned"),
    ("Flex tuned 64", "flex-tuned-64"),
    ("Flex by FLASH", "flex-flash"),
    ("FA4", "flash-attn-4"),
    ("FlashInfer", "flashinfer"),
    ("SDPA + mask", "torch-sdpa"),
]
# Of the geometric means over the masks as they come, and of the worst of them.
GOALS = {
    ("fwd", 128): (0.65, 1.0),
    ("fwd", 64): (0.70, 1.0),
    ("bwd", 128): (0.55, 1.05),
    ("bwd", 64): (0.55, 1.05),
}
BUILD_TIMES = {}  # of mask_build_bench: (mask, source) → ms


def read_build_times(file):
    for line in file.read_text(encoding="utf-8").splitlines():
        found = re.match(r"(\S+) .* stored +(\w+) +([\d.]+) ms", line)
        if found:
            BUILD_TIMES[found[1], found[2]] = float(found[3])


def read_records(files):
    """The last record of each key."""
    latest = {}
    for file in files:
        opened = gzip.open if file.suffix == ".gz" else open
        with opened(file, "rt", encoding="utf-8") as lines:
            for line in lines:
                record = json.loads(line)
                latest[record["key"]] = record
    return list(latest.values())


def chosen(records, **problem):
    """The measured records whose problem has these values."""
    defaults = {"algorithm": "lists", "pass": "fwd"}
    return [
        r
        for r in records
        if r["status"] == "ok"
        and r["ms"]
        and all(
            r["problem"].get(name, defaults.get(name)) == value for name, value in problem.items()
        )
    ]


def shown(ms):
    """Three digits."""
    if ms is None:
        return ""
    return f"{ms:.{max(0, 2 - math.floor(math.log10(ms)))}f}"


def times(ratio):
    return f"{ratio:.1f} ×" if ratio else ""


def median(record, part="natural"):
    timing = record["ms"][part] if record else None
    return timing["median"] if timing else None


def table(heading, rows, left=1, text_last=False):
    marks = ["---"] * left + ["--:"] * (len(heading) - left)
    if text_last:
        marks[-1] = "---"
    return ["| " + " | ".join(row) + " |" for row in (heading, marks, *rows)]


def provenance(records):
    cards = sorted({r["environment"]["gpu"] or r["environment"]["cpu"] for r in records})
    days = sorted({r["time"][:10] for r in records})
    commits = sorted({r["environment"]["commit"] for r in records})
    return (
        f"One {', '.join(cards)}, {' to '.join(dict.fromkeys((days[0], days[-1])))}, commit "
        f"{', '.join(f'`{c}`' for c in commits)}; {len(records)} records, each compared with fp64 "
        "and found right."
    )


# ---------------------------------------------------------------- the tables


def short(mask, n=N):
    """A mask's text without the size that all have."""
    return f"`{mask.replace(f'n={n},', '').replace(f'(n={n})', '')}`"


def paper_figures():
    """(mask, pass) → the paper's FA over its own arm, on its main card."""
    ratios = {}
    for figure in json.loads(FIGURES.read_text(encoding="utf-8"))["tables"]:
        if figure["gpu"] != "RTX 3060":
            continue
        for row in figure["rows"]:
            arms = [row[name] for name in ("bbm_rcm", "bbm_dense", "bbm") if name in row]
            if arms and "fa" in row:
                ratios[row["mask"], figure["pass"]] = row["fa"] / arms[0]
    return ratios


def paper(records, dtype, passes):
    all_of_it = chosen(
        records, dtype=dtype, batch=4, heads=32, head_dim=64, scale=0.5, **{"pass": passes}
    )
    used, rows, paper_ratio = [], [], paper_figures()

    def arm(mask, backend="hopper", **problem):
        found = chosen(all_of_it, mask=mask, backend=backend, **problem)
        used.extend(found)
        return found[-1] if found else None

    for name, mask, goal, why in PAPER_MASKS:
        causal = mask.startswith(("alpaca", "medusa", "causal"))
        baselines = [
            r
            for way in ({"algorithm": "lists"}, {"algorithm": "dense"}, {"backend": "cudnn"})
            for r in chosen(
                all_of_it,
                mask=f"causal(n={N})" if causal else f"dense(n={N})",
                **{"backend": "hopper"} | way,
            )
        ]
        used.extend(baselines)
        flash = min(map(median, baselines), default=None)
        naive, bbm, dense_bbm = (
            median(arm(mask, algorithm=a, pipeline="natural"))
            for a in ("naive", "bbm", "dense_bbm")
        )
        rcm = arm(mask, algorithm="bbm", pipeline="rcm")
        bbm_rcm = median(rcm, "permuted") if rcm and rcm["ordering"]["reordered"] else None
        ways = chosen(all_of_it, mask=mask, backend="hopper", algorithm="lists")
        used.extend(ways)
        if not flash or not ways:
            continue
        lists = min(ways, key=lambda r: r["permuted_call_ms"] or math.inf)
        moved, alone = lists["permuted_call_ms"], median(lists, "permuted")
        natural = min(map(median, ways))
        least = min(t for t in (natural, moved) if t)
        told = [shown(t) for t in (natural, moved)]
        told[0 if least == natural else 1] = f"**{shown(least)}**"
        best = flash / least
        asked = times(goal)
        if goal and best < goal:
            asked += " missed"
        printed = paper_ratio.get((mask, passes))
        rows.append(
            [
                name,
                *map(shown, (flash, naive, bbm, dense_bbm, bbm_rcm)),
                *told,
                shown(alone),
                times(best),
                times(flash / alone) if alone else "",
                asked,
                times(printed),
                why,
            ]
        )
    if not rows:
        return None
    heading = [
        "mask",
        "flash",
        "naive",
        "BBM",
        "dense BBM",
        "BBM + RCM, alone",
        "lists",
        "ordered, with moves",
        "ordered, alone",
        "best here",
        "alone",
        "asked for",
        "paper, RTX 3060",
        "why not as there",
    ]
    lines = table(heading, rows, text_last=True)
    return lines + ["", floor(used, passes) + " " + provenance(unique(used))]


# Bytes a second that a copy of large tensors reads and writes, in all, as measured on the card.
COPY_RATES = {"NVIDIA H200": 4.2e12}
# Tensors of the size of Q that the passes must read or write: Q, K, V, O; and Q, K, V, O, dO, dQ,
# dK, dV.
TENSORS = {"fwd": 4, "bwd": 8, "both": 12}


def floor(records, passes):
    """What reading and writing each tensor once takes, said in a sentence."""
    p = records[0]["problem"]
    size = 2 * p["batch"] * p["heads"] * p["head_dim"] * N
    moved = f"Memory's floor: {TENSORS[passes] * size / 1e9:.2f} GB have to be read or written"
    rate = COPY_RATES.get(records[0]["environment"]["gpu"])
    if not rate:
        return moved + "."
    return moved + f", {shown(1e3 * TENSORS[passes] * size / rate)} ms at the rate of a copy."


def unique(records):
    return list({r["key"]: r for r in records}.values())


def of_peers(records, passes):
    """What the peers' tables are made of."""
    return chosen(records, dtype="bf16", batch=4, scale=None, **{"pass": passes})


def peers(records, head_dim, passes="fwd"):
    head_dim = int(head_dim)
    records = of_peers(records, passes)
    ours = chosen(records, backend="hopper", head_dim=head_dim)
    names = [
        (title, name)
        for title, name in PEERS
        if chosen(records, backend=name, head_dim=head_dim)
    ]
    rows, used, ratios = [], [], []
    for title, mask in PEER_MASKS:
        mine = chosen(ours, mask=mask, pipeline="natural")
        if not mine:
            continue
        here = mine[-1]
        theirs = []
        for _, name in names:
            found = chosen(records, backend=name, mask=mask, head_dim=head_dim, pipeline="natural")
            used += found[-1:]
            theirs.append(median(found[-1]) if found else None)
        used.append(here)
        known = [t for t in theirs if t]
        ratio = median(here) / min(known) if known else None
        if ratio:
            ratios.append(ratio)
        best = [f"**{shown(t)}**" if t and t == min(known) else shown(t) for t in theirs]
        rows.append([title, shown(median(here)), *best, f"{ratio:.2f}" if ratio else ""])
    if not rows:
        return None
    lines = table(["mask", "here", *(title for title, _ in names), "here ÷ best"], rows)
    if ratios:
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        goal, most = GOALS[passes, head_dim]

        def judged(value, limit):
            if len(ratios) < len(PEER_MASKS):
                return f"{limit:.2f} over all {len(PEER_MASKS)}, not decided"
            return f"{limit:.2f}, {'reached' if value <= limit else 'missed'}"

        lines += [
            "",
            f"Geometric mean of the last column over {len(ratios)} masks: **{mean:.2f}** "
            f"(asked for: {judged(mean, goal)}); the worst is {max(ratios):.2f} "
            f"(asked for: {judged(max(ratios), most)}).",
        ]
    return lines + ["", provenance(unique(used))]


def fastest(record):
    """A call as the mask came or in the new order with its moves, whichever is faster."""
    return min(median(record), record["permuted_call_ms"] or math.inf)


def brief(records, passes="fwd"):
    """Ours against the best peer, the ordered masks with moves on either side."""
    records = of_peers(records, passes)
    rows, used = [], []
    for title, mask in PEER_MASKS + ORDERED_MASKS:
        cells = []
        for head_dim in (128, 64):
            mine = chosen(records, backend="hopper", head_dim=head_dim, mask=mask)
            theirs = [
                r
                for _, name in PEERS
                for r in chosen(records, backend=name, head_dim=head_dim, mask=mask)
            ]
            if not mine or not theirs:
                cells += ["", "", ""]
                continue
            used += [mine[-1], *theirs]
            here, best = fastest(mine[-1]), min(map(fastest, theirs))
            cells += [shown(here), shown(best), f"{here / best:.2f}"]
        if any(cells):
            rows.append(
                [title + (", in our order" if (title, mask) in ORDERED_MASKS else ""), *cells]
            )
    if not rows:
        return None
    heading = ["mask", "D=128, ms", "best peer", "÷", "D=64, ms", "best peer", "÷"]
    return table(heading, rows) + ["", provenance(unique(used))]


def ordered(records, passes="fwd"):
    records = of_peers(records, passes)
    rows, used = [], []
    for head_dim in (128, 64):
        for title, mask in ORDERED_MASKS:
            mine = chosen(records, backend="hopper", head_dim=head_dim, mask=mask)
            mine = [
                r for r in mine if r["permuted_call_ms"] and r["problem"]["pipeline"] != "natural"
            ]
            theirs = [
                r
                for _, name in PEERS
                for r in chosen(records, backend=name, head_dim=head_dim, mask=mask)
                if r["permuted_call_ms"]
            ]
            if not mine or not theirs:
                continue
            here = mine[-1]
            as_it_came = min(theirs, key=median)
            in_order = min(theirs, key=lambda r: r["permuted_call_ms"])
            called = {name: peer for peer, name in PEERS}
            moves = median(in_order, "gather") + median(in_order, "scatter")
            names = [called[r["problem"]["backend"]] for r in (as_it_came, in_order)]
            used += [here, *theirs]
            rows.append(
                [
                    title,
                    str(head_dim),
                    shown(median(here)),
                    f"**{shown(here['permuted_call_ms'])}**",
                    shown(median(here, "permuted")),
                    f"{shown(median(as_it_came))} ({names[0]})",
                    f"{shown(in_order['permuted_call_ms'])} "
                    f"({names[1]}, of it {shown(moves)} to move rows)",
                    f"{here['permuted_call_ms'] / median(as_it_came):.2f}",
                    f"{here['permuted_call_ms'] / in_order['permuted_call_ms']:.2f}",
                ]
            )
    if not rows:
        return None
    heading = [
        "mask",
        "D",
        "here, as it came",
        "here, ordered, with moves",
        "alone",
        "best peer, as it came",
        "best peer, our order, with moves",
        "here ÷ as it came",
        "here ÷ our order",
    ]
    return table(heading, rows) + ["", provenance(unique(used))]


def pays(records, backend, n):
    rows, used = [], []
    taken = [
        r
        for r in chosen(records, backend=backend, batch=1, pipeline="peel(8)|rcm")
        if r["mask"]["n_k"] == int(n) and r["problem"]["heads"] >= 8
    ]
    for record in taken:
        mask = record["problem"]["mask"]
        if "|" in mask:
            continue
        shuffled = chosen(taken, mask=f"{mask}|shuffle(seed=1)")
        pair = [record, *shuffled[-1:]]
        used += pair
        cells = [short(mask, n)]
        for r in pair + [None] * (2 - len(pair)):
            if r is None:
                cells += ["", ""]
            elif not r["permuted_call_ms"]:
                cells += [shown(median(r)), "–"]
            else:
                calls = r["break_even_calls"]
                cells += [
                    f"{shown(median(r))} → {shown(r['permuted_call_ms'])}",
                    f"{calls:,}" if calls else "never",
                ]
        rows.append(cells)
    if not rows:
        return None
    return table(
        ["mask", "as it comes → reordered, ms", "calls", "shuffled → reordered, ms", "calls"], rows
    ) + ["", provenance(unique(used))]


def model(records):
    """What the model of a call is off by, and what the sum of all work alone is."""
    # These need numpy and matplotlib; the other tables do not.
    import numpy as np
    from plots.model import fit, r_squared
    from plots.records import points_of

    taken = [
        r
        for r in chosen(records, backend="hopper", dtype="bf16", head_dim=128, batch=1)
        if r["mask"]["n_k"] == N
    ]
    heads = sorted({r["problem"]["heads"] for r in taken})
    if len(heads) < 2:
        return None
    points = points_of(taken, "median")
    models = fit(points, plane=True), fit(points)
    rows = []
    for mask in dict.fromkeys(r["problem"]["mask"] for r in taken if r["problem"]["heads"] == 1):
        if f"n={N}" not in mask:
            continue
        cells = [short(mask)]
        for number in heads:
            found = chosen(taken, mask=mask, heads=number)
            if not found:
                cells.append("")
                continue
            point = next(p for p in points_of(found[-1:], "median") if p.natural)
            off = [f"{100 * (m.predict([point])[0] / point.ms - 1):+.0f}" for m in models]
            cells.append(f"{shown(point.ms)} ({off[0]}, {off[1]} %)")
        rows.append(cells)
    lines = table(["mask, ms (sum, model)", *(f"H={n}" for n in heads)], rows)
    few = [points_of([r], "median")[0] for r in taken if r["problem"]["heads"] < heads[-1]]
    fits = []
    for name, m in zip(("sum", "model"), models):
        errors = [abs(p.ms / m.predict([p])[0] - 1) for p in points]
        large = [e for e, p in zip(errors, points) if p.ms >= 0.2]
        spread = [
            f"{r_squared(np.array([p.ms for p in group]), m.predict(group)):.4f}"
            for group in (points, few)
        ]
        nanoseconds = [f"{1e6 * t:.3g} ns" for t in m.terms[:4]]
        at_once = f"{m.rows_at_once:.0f}" if m.rows_at_once else ""
        worst = [f"{100 * part:.0f} %" for part in (max(errors), max(large))]
        call = f"{1e3 * m.terms[4]:.1f} µs"
        middle = f"{100 * np.median(errors):.1f} %"
        fits.append([name, *nanoseconds, call, at_once, *spread, middle, *worst])
    heading = ["", "full 64×64", "partial", "step", "row", "call", "rows at once", "R²"]
    heading += ["R², few heads", "median error", "worst", "above 0.2 ms"]
    lines += ["", *table(heading, fits)]
    return lines + ["", provenance(taken)]


def study(records, backend, n):
    """The fit of the study of occupancy, family by family."""
    import numpy as np
    from plots.model import fit, r_squared
    from plots.records import points_of, setting_of

    taken = chosen(records, backend=backend, batch=1)
    taken = [r for r in taken if r["mask"]["n_k"] == int(n) and r["problem"]["heads"] >= 8]
    if not taken or len({setting_of(r) for r in taken}) > 1:
        return None
    # What else runs on a CPU only adds.
    points = points_of(taken, "median" if taken[0]["environment"]["gpu"] else "min")
    model = fit(points)
    predicted = model.predict(points)
    ms = np.array([p.ms for p in points])
    off = predicted / ms - 1
    rows = []
    for family in dict.fromkeys(p.family for p in points):
        mine = np.array([p.family == family for p in points])
        worst = off[mine][np.argmax(abs(off[mine]))]
        rows.append(
            [
                f"`{family}`",
                str(mine.sum()),
                f"{shown(ms[mine].min())} to {shown(ms[mine].max())}",
                f"{100 * np.median(abs(off[mine])):.1f} %",
                f"{100 * worst:+.0f} %",
            ]
        )
    lines = table(["family", "calls", "ms", "median error", "worst"], rows)
    large = abs(off[ms >= 0.2])
    masks = len({r["problem"]["mask"] for r in taken})
    lines += [
        "",
        f"{len(points)} calls of {masks} masks: R² {r_squared(ms, predicted):.4f}, median error "
        f"{100 * np.median(abs(off)):.1f} %, worst {100 * max(abs(off)):.0f} %"
        + (f", above 0.2 ms {100 * max(large):.0f} %." if len(large) else "."),
    ]
    return lines + ["", provenance(taken)]


def preprocessing(records):
    """What mask_build_bench printed of masks of all sizes, beside the paper's times on an H100."""
    del records
    rows = []
    figures = json.loads(FIGURES.read_text(encoding="utf-8"))["preprocessing"]
    for figure in figures["rows"]:
        mask = f"dense(n={figure['n']})"
        cells = [BUILD_TIMES.get((mask, source)) for source in ("bytes", "bits")]
        if not any(cells):
            continue
        flags, ones = figure["flags"], figure["with_ones"]
        rows.append([f"{figure['n']:,}", *map(shown, (*cells, flags, ones))])
    if not rows:
        return None
    heading = ["N", "from bytes", "from bits", "paper, flags", "paper, with runs of full tiles"]
    return table(heading, rows)


TABLES = {
    "study": study,
    "preprocessing": preprocessing,
    "paper": paper,
    "peers": peers,
    "brief": brief,
    "ordered": ordered,
    "pays": pays,
    "model": model,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument(
        "page", type=Path, help="the page whose tables are filled: docs/results.md, README.md"
    )
    parser.add_argument("results", type=Path, nargs="+", help="results files, also gzipped")
    args = parser.parse_args()
    ready = {
        file.stem: file.read_text(encoding="utf-8").splitlines()
        for file in args.results
        if file.suffix == ".md"
    }
    for file in args.results:
        if file.suffix == ".txt":
            read_build_times(file)
    records = read_records([file for file in args.results if file.suffix not in (".md", ".txt")])

    def fill(match):
        name, *arguments = match["name"].split()
        if name in TABLES:
            lines = TABLES[name](records, *arguments)
        else:
            lines = ready.get(name)
        if lines is None:
            print(f"no record for the table '{match['name']}': left as it is", file=sys.stderr)
            return match[0]
        return "\n".join([match["begin"], "", *lines, "", match["end"]])

    page = args.page.read_text(encoding="utf-8")
    pattern = r"(?P<begin><!-- table (?P<name>[^>]*?) -->)\n.*?(?P<end><!-- end -->)"
    args.page.write_text(re.sub(pattern, fill, page, flags=re.DOTALL), encoding="utf-8")


if __name__ == "__main__":
    main()
