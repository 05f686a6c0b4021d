"""The evidence for a choice: kept in the store, and told in a comment above the recipe."""

from __future__ import annotations

import contextlib
from pathlib import Path

from langmerge.canonical import digest_of
from langmerge.files import write_atomically
from langmerge.plan.lock import Lock
from langmerge.store import Store
from langmerge.sweep.record import Bounds, Sweep


def save_evidence(store: Store, found: Sweep) -> Path:
    """Write a sweep's record to `STORE/sweeps/DIGEST.json`, and return the file."""
    path = store.root / "sweeps" / f"{digest_of(found.model_dump())}.json"
    write_atomically(path, found.model_dump_json(indent=1) + "\n")
    return path


def last_sweep(store: Store, lock: Lock) -> Sweep | None:
    """Return the record of the last sweep of adapters that are still the project's, if there is.

    Args:
        store: of the project.
        lock: says which results are the project's.
    """
    current = {entry["output"] for entry in lock.jobs.values()}
    found = []
    for path in store.root.glob("sweeps/*.json"):
        with contextlib.suppress(OSError, ValueError):
            sweep = Sweep.model_validate_json(path.read_text(encoding="utf-8"))
            if current.issuperset(each for of in sweep.adapters.values() for each in of.values()):
                found.append(sweep)
    return max(found, key=lambda sweep: sweep.created, default=None)


def comments(found: Sweep, evidence: Path, folder: Path) -> list[str]:
    """Return the lines that stand above the winner's recipe in the project file.

    Args:
        found: the sweep.
        evidence: the file of its record.
        folder: of the project file.
    """
    winner = found.winner
    assert winner.interval is not None
    assert winner.against_current is not None
    metrics = ", ".join(sorted(set(found.metrics.values())))
    what = "" if found.objective == "mean" else f"{found.objective} of "
    stopped = f", {found.counts.stopped} more stopped early" if found.counts.stopped else ""
    trials = f" of {found.trials} trials" if found.trials is not None else ""
    return [
        f"Chosen by `langmerge sweep` on {found.created[:10]}: {what}{metrics} on dev "
        f"{bounds(winner.interval)}; {bounds(winner.against_current, '+.1f')} against "
        f"{found.current}.",
        f"Best of {found.counts.measured} candidates{trials}{stopped}; "
        f"evidence: {evidence.relative_to(folder)}",
    ]


def caution(found: Sweep) -> str | None:
    """Return what to say where the winner's gain over the current recipe may be none."""
    gain = found.winner.against_current
    assert gain is not None
    if gain.low is not None and gain.low > 0:
        return None
    return f"Not shown to be better than {found.current}: {bounds(gain, '+.1f')} on dev."


def bounds(found: Bounds, form: str = ".1f") -> str:
    """Return a value with its interval as text: `86.9 (81.7 to 91.0)`."""
    value = format(found.value, form)
    if found.low is None or found.high is None:
        return value
    return f"{value} ({format(found.low, form)} to {format(found.high, form)})"
