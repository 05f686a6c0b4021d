"""Early stopping: who is measured on more rows, and who is hopeless after a few.

Rows come in one random order of their groups, the same for every candidate and language. After a
quarter and after half of them a candidate is compared with the best one so far, on the rows both
answered. It is stopped if even the upper confidence bound of its difference over *all* rows is
below zero. The bound is one-sided and paired, of the objective itself, and knows that the rows are
drawn without replacement (`langmerge.statistics.upper_bound`).

The stated risk is that of stopping the candidate that would have won: it is compared at most once
at each look, so each look takes an equal part of the risk.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

from langmerge.choose.objective import Objective, UnitName
from langmerge.data import Row
from langmerge.statistics import Samples, resample, upper_bound

_RESAMPLES = 400
_LEAST_GROUPS = 12
"""Fewer groups of a language give no bound to stop anyone by."""


@dataclass(frozen=True)
class Racing:
    """When to look, and at what risk.

    Attributes:
        looks: shares of the groups after which the hopeless are stopped; empty to stop no one.
        risk: the chance of stopping the candidate that would win.
        seed: of the order of groups and of the resamples.
    """

    looks: tuple[float, ...] = (0.25, 0.5)
    risk: float = 0.05
    seed: int = 0

    def in_order(self, rows: Sequence[Row]) -> tuple[Row, ...]:
        """Return rows in the order in which they are answered: groups at random, but together."""

        def place(row: Row) -> tuple[str, str]:
            text = f"{self.seed}/{row.group}"
            return hashlib.sha256(text.encode()).hexdigest(), row.id

        return tuple(sorted(rows, key=place))

    def cuts(self, rows: Sequence[Row]) -> tuple[int, ...]:
        """Return how many of the rows, in that order, are answered at each look, and at the end.

        Where a look would see too few groups it sees none: its cut is 0.
        """
        order = list(dict.fromkeys(row.group for row in rows))
        found = []
        for share in self.looks:
            wanted = math.ceil(share * len(order))
            seen = set(order[:wanted]) if wanted >= _LEAST_GROUPS else set()
            found.append(sum(row.group in seen for row in rows))
        return (*found, len(rows))

    def upper_bound(
        self,
        candidate: Samples,
        best: Samples,
        objective: Objective,
        units: Sequence[UnitName],
        *,
        share: float,
        sizes: tuple[int | None, int | None] = (None, None),
    ) -> float:
        """Return the bound of a candidate's difference to the best one over all rows.

        Args:
            candidate: its samples on the rows answered so far, by unit.
            best: the other's on the same rows.
            objective: what the difference is of.
            units: the units, in the order of their names.
            share: part of all groups that the rows answered are of.
            sizes: of both merged adapters.
        """
        ours, theirs = (
            resample(samples, seed=self.seed, resamples=_RESAMPLES) for samples in (candidate, best)
        )
        observed = objective.of(units, ours.observed, sizes[0]) - objective.of(
            units, theirs.observed, sizes[1]
        )
        drawn = objective.of(units, ours.drawn, sizes[0]) - objective.of(
            units, theirs.drawn, sizes[1]
        )
        risk = self.risk / len(self.looks)
        return upper_bound(float(observed), drawn, ours.groups, share=share, risk=risk)
