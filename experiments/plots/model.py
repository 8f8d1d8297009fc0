# SPDX-License-Identifier: Apache-2.0
"""The model of a call, fitted to points."""

import itertools
from dataclasses import dataclass

import numpy as np

TERMS = ("full", "partial", "step", "row", "call")


@dataclass
class Model:
    """What a call takes by its counts, in ms; call_cost.hpp has it in words."""

    terms: np.ndarray
    rows_at_once: float = 0

    @staticmethod
    def shared_out(points, rows_at_once):
        counts = np.array([p.counts for p in points], dtype=float)
        rows = counts[:, TERMS.index("row")]
        # Where all rows go on at once none begins last.
        lag = np.where(rows > rows_at_once, 1 + rows_at_once / (2 * np.maximum(rows, 1)), 1)
        counts[:, :-1] *= lag[:, None]
        return counts

    @staticmethod
    def heaviest_row(points, rows_at_once):
        counts = np.array([p.heaviest for p in points], dtype=float)
        counts[:, :-1] *= rows_at_once
        return counts

    def predict(self, points):
        return np.maximum(self.shared_out(points, self.rows_at_once) @ self.terms,
                          self.heaviest_row(points, self.rows_at_once) @ self.terms)


def solve(features):
    """Coefficients, none negative, that bring the features nearest to 1.

    Few unknowns: the best of all subsets whose least-squares solution is non-negative is exact.
    """
    best, best_error = None, np.inf
    for size in range(len(TERMS), 0, -1):
        for subset in itertools.combinations(range(len(TERMS)), size):
            columns = list(subset)
            solution, *_ = np.linalg.lstsq(features[:, columns], np.ones(len(features)), rcond=None)
            if (solution < 0).any():
                continue
            error = np.sum((features[:, columns] @ solution - 1) ** 2)
            if error < best_error - 1e-12:
                best, best_error = np.zeros(len(TERMS)), error
                best[columns] = solution
    return best


def fit_with(points, rows_at_once):
    """With so many rows at once. Which points end with their heaviest row depends on the
    coefficients: begun with none, and taken from the last solution until it stays."""
    ms = np.array([p.ms for p in points])[:, None]
    shared = Model.shared_out(points, rows_at_once)
    heaviest = Model.heaviest_row(points, rows_at_once)
    model, ends_with_it = None, np.zeros(len(points), dtype=bool)
    for _ in range(8):
        model = Model(solve(np.where(ends_with_it[:, None], heaviest, shared) / ms), rows_at_once)
        before, ends_with_it = ends_with_it, heaviest @ model.terms > shared @ model.terms
        if (before == ends_with_it).all():
            break
    return model


def fit(points, plane=False):
    """The model with the least sum of squared relative errors, as fit.cpp finds it; `plane`: as if
    all rows shared all there is."""
    ms = np.array([p.ms for p in points])

    def error(model):
        return np.sum((model.predict(points) / ms - 1) ** 2)

    best = fit_with(points, 0)
    if plane or not any(sum(p.heaviest[:2]) for p in points):
        return best
    # Coarsely, then around the best.
    for factor, steps in ((1.03, range(0, 235)), (1.001, range(-29, 30))):
        begin = best.rows_at_once or 1
        for step in steps:
            model = fit_with(points, begin * factor ** step)
            if error(model) < error(best) - 1e-12:
                best = model
    return best


def r_squared(measured, predicted):
    spread = np.sum((measured - measured.mean()) ** 2)
    return 1 - np.sum((measured - predicted) ** 2) / spread if spread > 0 else float("nan")
