# SPDX-License-Identifier: Apache-2.0
"""Records of blockfill as points: what a call goes through, and its time."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from plots.style import fail

RECORD_KEYS = {"key", "status", "problem", "ms"}


@dataclass
class Point:
    """One mask in one order: what a call of all heads goes through, and its time."""

    family: str
    text: str
    counts: tuple  # full and partial parts, steps, rows, the call itself
    heaviest: tuple  # the same of its heaviest row, or all 0
    ms: float
    natural: bool  # in the order in which it came


def family_of(mask):
    """'longformer(n=4096)|shuffle(seed=1)' is of the family longformer."""
    name = mask.split("|")[0].split("(")[0]
    if name.startswith("peer:"):
        return name.removeprefix("peer:")
    return Path(name).name


def read_records(files):
    latest = {}
    for file in files:
        try:
            lines = Path(file).read_text(encoding="utf-8").splitlines()
        except OSError as error:
            fail(f"{file}: {error.strerror}")
        except UnicodeDecodeError:
            fail(f"{file}: no text, so no results of blockfill")
        for number, line in enumerate(lines, 1):
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                if number == len(lines):
                    continue  # torn by an interruption
                record = None
            if not isinstance(record, dict) or not record.keys() >= RECORD_KEYS:
                fail(f"{file}:{number}: not a record")
            latest[record["key"]] = record
    return [r for r in latest.values() if r["status"] == "ok" and r["ms"]]


def setting_of(record):
    """Times are comparable only within one setting."""
    p, e = record["problem"], record["environment"]
    passes = {"fwd": "", "bwd": " backward", "both": " both passes"}[p.get("pass", "fwd")]
    return (p["backend"] + passes, e["gpu"] or e["cpu"], p["dtype"], p["head_dim"], p["tile"],
            p["threads"])


def points_of(records, statistic):
    """Each mask once in the order it came in, and once for each order that changed it."""
    points, came = [], {}
    for r in records:
        p = r["problem"]
        heads = p["batch"] * p["heads"]

        def point(side, ms, natural, text, r=r, heads=heads):
            walk = r.get("walk")
            if walk:
                counts = walk[side]
                by_tile = walk["part"] == walk["step"]
                steps = 0 if by_tile else counts["steps"]
                rows = counts["rows"]
                heaviest = [counts.get(f"heaviest_{name}", 0)
                            for name in ("full", "partial", "steps")]
                if by_tile:
                    heaviest[2] = 0
            else:  # an older record has tiles alone
                counts, steps = r[side], 0
                rows, heaviest = counts["row_tiles"], [0, 0, 0]
            each = [heads * count for count in (counts["full"], counts["partial"], steps, rows)]
            row = (*heaviest, int(sum(heaviest) > 0), 1)
            return Point(family_of(r["mask"]["name"]), text, (*each, 1), row, ms, natural)

        # The natural order is timed beside each pipeline: the median of those is its point.
        same = (p["mask"], p["batch"], p["heads"], p["kv_heads"], p["seed"])
        came.setdefault(same, (r, point, []))[2].append(r["ms"]["natural"][statistic])
        if r["ms"]["permuted"]:
            text = f"{p['mask']} · {p['pipeline']}"
            points.append(point("after", r["ms"]["permuted"][statistic], False, text))
    for r, point, times in came.values():
        points.append(point("before", float(np.median(times)), True, r["problem"]["mask"]))
    return points
