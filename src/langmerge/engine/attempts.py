"""Attempts at jobs, and the clock of the run that makes them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langmerge.plan import Decision
from langmerge.store import Action


@dataclass(frozen=True)
class RunClock:
    """The run that attempts belong to, and how long it has been going on.

    Attributes:
        run: its id.
        start: when it began, by this process's monotonic clock, in seconds.
    """

    run: str
    start: float

    @classmethod
    def going_on(cls, run: str, seconds: float) -> RunClock:
        """Return the clock of a run that began `seconds` ago, for another process."""
        return cls(run, time.monotonic() - seconds)

    @property
    def seconds(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.start

    def stamp(self, decision: Decision, cost: Mapping[str, Any]) -> dict[str, Any]:
        """Return the cost of an attempt that ends now, with its run, its reason and its moment."""
        about = {"run": self.run, "reason": decision.reason}
        return {**about, **cost, "run_seconds": round(self.seconds, 3)}


@dataclass(frozen=True)
class Attempt:
    """An attempt at a job, once it has ended.

    Attributes:
        decision: what was to be done.
        cost: what it cost and on what it ran, in which run it was, and why.
        action: the recorded result; None if the attempt failed or was interrupted.
        problem: what went wrong, for people.
        error: the same as one line, for the ledger.
        is_interrupted: whether it was stopped from outside.
    """

    decision: Decision
    cost: Mapping[str, Any]
    action: Action | None = None
    problem: str | None = None
    error: str | None = None
    is_interrupted: bool = False
