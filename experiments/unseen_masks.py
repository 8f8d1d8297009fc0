#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes sparse matrices of kinds that no generator of the mask library makes, as SciPy .npz files.

    experiments/unseen_masks.py OUT_FOLDER [-n 16384] [--seed 1]

They resemble what the SuiteSparse collection holds: roads, finite elements, circuits, citations, web
links, chemical plants, linear programs. Square ones have their diagonal. Orderings were not tuned on
any of them.
"""

import argparse
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from scipy.spatial import Delaunay


def pattern(rows, cols, shape, diagonal=True):
    """The 0/1 matrix with these entries, duplicates merged."""
    if diagonal:
        every = np.arange(min(shape))
        rows, cols = np.concatenate([rows, every]), np.concatenate([cols, every])
    matrix = sp.csr_matrix((np.ones(len(rows), dtype=np.int8), (rows, cols)), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    matrix.sort_indices()
    return matrix


def both_ways(a, b, n):
    return pattern(np.concatenate([a, b]), np.concatenate([b, a]), (n, n))


def edges_of(triangulation):
    simplices = triangulation.simplices
    corners = range(simplices.shape[1])
    pairs = np.concatenate([simplices[:, [i, j]] for i in corners for j in corners if i < j])
    return np.unique(np.sort(pairs, axis=1), axis=0)


def road(n, random):
    """A planar graph of mean degree about 2.5: the shorter edges of a triangulation, thinned."""
    points = random.random((n, 2))
    edges = edges_of(Delaunay(points))
    length = np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1)
    keep = (length < np.quantile(length, 0.6)) & (random.random(len(edges)) < 0.7)
    return both_ways(*edges[keep].T, n)


def fem_2d(n, random):
    """Triangles on an L-shaped plate, finer towards its inner corner."""
    points = random.random((3 * n, 2)) ** 1.5
    points = points[(points[:, 0] < 0.5) | (points[:, 1] < 0.5)][:n]
    return both_ways(*edges_of(Delaunay(points)).T, len(points))


def fem_3d(n, random):
    """Tetrahedra in a long beam."""
    points = random.random((n, 3)) * [8, 1, 1]
    return both_ways(*edges_of(Delaunay(points)).T, n)


def circuit(n, random):
    """Nets of few pins near each other, some far, and a few supply nets of thousands."""
    nets = 3 * n // 2
    centre = random.integers(0, n, nets)
    pins = 2 + random.geometric(0.6, nets)
    rows, cols = [], []
    for net in range(nets):
        near = centre[net] + np.rint(random.laplace(0, 30, pins[net])).astype(int)
        if random.random() < 0.02:
            near[-1] = random.integers(0, n)
        near = np.clip(near, 0, n - 1)
        rows += [near[0]] * (len(near) - 1)
        cols += list(near[1:])
    for supply in random.integers(0, n, 6):
        taps = random.choice(n, n // 10, replace=False)
        rows += [supply] * len(taps)
        cols += list(taps)
    return both_ways(np.array(rows), np.array(cols), n)


def citations(n, random):
    """Each paper cites about five earlier ones: its field's, the recent and the famous."""
    field = random.integers(0, 40, n)
    rows, cols, famous = [], [], []
    members = [[] for _ in range(40)]
    for paper in range(n):
        for _ in range(1 + random.poisson(4) if paper else 0):
            draw = random.random()
            if draw < 0.6 and members[field[paper]]:
                group = members[field[paper]]
                cited = group[int(len(group) * random.random() ** 0.5)]
            elif draw < 0.9 and famous:
                cited = famous[random.integers(0, len(famous))]
            else:
                cited = int(paper * random.random())
            rows.append(paper)
            cols.append(cited)
            famous.append(cited)
        members[field[paper]].append(paper)
    return pattern(np.array(rows), np.array(cols), (n, n))


def web(n, random):
    """Pages copy half of their links from an earlier page; sites are runs of pages."""
    links = [[0]]
    for page in range(1, n):
        model = links[random.integers(max(0, page - 200), page)]
        copied = [x for x in model if random.random() < 0.5]
        site = page - page % 64
        own = [site, *(site + random.integers(0, page - site + 1, 4)).tolist(),
               *random.integers(0, page, 2).tolist()]
        links.append((copied + own)[:60])
    rows = np.repeat(np.arange(n), [len(x) for x in links])
    return pattern(rows, np.concatenate(links), (n, n))


def plant(n, random):
    """A chemical plant: dense stages in a chain, with recycles that jump far back."""
    size = 24
    stages = n // size
    rows, cols = [], []
    for stage in range(stages):
        first = stage * size
        for other, share in ((stage - 1, 0.08), (stage, 0.3), (stage + 1, 0.08)):
            if 0 <= other < stages:
                i, j = np.nonzero(random.random((size, size)) < share)
                rows.append(first + i)
                cols.append(other * size + j)
        if random.random() < 0.2:
            back = random.integers(0, stages)
            rows.append(first + random.integers(0, size, 6))
            cols.append(back * size + random.integers(0, size, 6))
    return pattern(np.concatenate(rows), np.concatenate(cols), (stages * size, stages * size))


def linear_program(n, random):
    """Rectangular: blocks of a multi-period model, linking rows over all, slack columns."""
    periods, rows_of, cols_of = 40, n // 80, n // 40
    rows, cols = [], []
    for period in range(periods):
        for offset in (0, 1):
            if period + offset < periods:
                entries = 6 * rows_of if offset == 0 else 2 * rows_of
                rows.append((period + offset) * rows_of + random.integers(0, rows_of, entries))
                cols.append(period * cols_of + random.integers(0, cols_of, entries))
    linking = periods * rows_of + np.arange(12)
    rows.append(np.repeat(linking, 300))
    cols.append(random.integers(0, periods * cols_of, 12 * 300))
    shape = (periods * rows_of + 12, periods * cols_of)
    return pattern(np.concatenate(rows), np.concatenate(cols), shape, diagonal=False)


KINDS = [road, fem_2d, fem_3d, circuit, citations, web, plant, linear_program]


def write(folder, n, seed):
    """Writes one file a kind; returns {name: path}. The same numbers on every run."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for index, kind in enumerate(KINDS):
        name = kind.__name__.replace("_", " ")
        files[name] = folder / f"{kind.__name__}_{n}_{seed}.npz"
        sp.save_npz(files[name], kind(n, np.random.default_rng([seed, index])))
    return files


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder")
    parser.add_argument("-n", type=int, default=16384, help="rows, about")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    for name, path in write(arguments.folder, arguments.n, arguments.seed).items():
        matrix = sp.load_npz(path)
        print(f"{path}: {name}, {matrix.shape[0]} x {matrix.shape[1]}, {matrix.nnz} entries")


if __name__ == "__main__":
    main()
