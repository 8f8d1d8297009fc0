#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draws every picture of experiments/plot.py from small committed records.

    plot_test.py BLOCKFILL

BLOCKFILL is the program, which makes the maps. Returns 77 where numpy or matplotlib is missing.
"""

import contextlib
import io
import struct
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
DATA = HERE / "data"
sys.path.insert(0, str(HERE.parents[1] / "experiments"))

try:
    import matplotlib  # noqa: F401
    import numpy as np
except ModuleNotFoundError as error:
    print(f"skipped: the pictures need numpy and matplotlib, and {error.name} is not here")
    sys.exit(77)

import plot  # noqa: E402
from plots.model import fit, r_squared  # noqa: E402
from plots.records import points_of, read_records  # noqa: E402

PROGRAM = sys.argv.pop(1)


def run(*arguments):
    """What the command prints; SystemExit and its sentence where it fails."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        plot.main([str(a) for a in arguments])
    return out.getvalue()


class Pictures(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def expect_picture(self, file):
        png = file.read_bytes()
        self.assertEqual(png[:8], b"\x89PNG\r\n\x1a\n", file)
        width, height = struct.unpack(">II", png[16:24])
        self.assertGreater(min(width, height), 300, file)

    def expect_sentence(self, sentence, *arguments):
        err = io.StringIO()
        with contextlib.redirect_stderr(err), self.assertRaises(SystemExit):
            run(*arguments)
        self.assertIn(sentence, err.getvalue())

    def test_fit(self):
        file = self.folder / "fit.png"
        said = run("fit", DATA / "sweep.jsonl", "--min-ms", 0, "--exclude", "causal", "-o", file)
        self.expect_picture(file)
        self.assertIn("R²", said)
        self.assertIn("predicted  ", said)

    def test_maps(self):
        maps = []
        for name, shape in (("square", (8, 8)), ("wide", (4, 16))):
            maps.append(self.folder / f"{name}.npy")
            np.save(maps[-1], np.linspace(0, 1, shape[0] * shape[1]).reshape(shape))
        file = self.folder / "maps.png"
        run("maps", *maps, "--titles", "a", "b", "--heading", "two", "-o", file)
        self.expect_picture(file)
        self.expect_sentence("2 maps but 1 titles", "maps", *maps, "--titles", "a", "-o", file)

    def test_pareto(self):
        file = self.folder / "pareto.png"
        run("pareto", DATA / "orderings.jsonl", "-o", file)
        self.expect_picture(file)

    def test_demo(self):
        run("demo", DATA / "sweep.jsonl", "--program", PROGRAM, "--out", self.folder,
            "--pictures", 1)
        names = sorted(file.name for file in self.folder.iterdir())
        self.assertEqual(len(names), 2, names)
        self.assertEqual(names[0], "occupancy.png")
        for name in names:
            self.expect_picture(self.folder / name)

    def test_what_is_no_record_is_named_with_its_line(self):
        file = self.folder / "bad.jsonl"
        file.write_text("{}\n" + (DATA / "sweep.jsonl").read_text(encoding="utf-8"),
                        encoding="utf-8")
        self.expect_sentence("bad.jsonl:1: not a record", "fit", file)
        self.expect_sentence("no successful records", "fit", self.empty())

    def empty(self):
        file = self.folder / "empty.jsonl"
        file.touch()
        return file


class Fit(unittest.TestCase):
    def test_finds_the_plane_that_the_times_were_made_by(self):
        points = points_of(read_records([DATA / "sweep.jsonl"]), "median")
        terms = np.array([3e-3, 5e-3, 0, 1e-2, 0.02])
        for point in points:
            point.ms = float(np.array(point.counts) @ terms)
        measured = np.array([p.ms for p in points])
        self.assertAlmostEqual(r_squared(measured, fit(points).predict(points)), 1, places=6)


if __name__ == "__main__":
    unittest.main()
