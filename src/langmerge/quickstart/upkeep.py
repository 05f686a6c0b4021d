"""What an update cost, against retraining everything."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from langmerge.engine import JobResult, Run
from langmerge.plan.graph import COMBINED


def describe_update(update: Run) -> Iterator[str]:
    """Yield what an update reused, retrained and left stale, and what it cost.

    The cost of retraining everything is what the adapters' trainings, and the combined model's,
    cost when they last ran: measured, before the new rows were there.
    """
    trained = [r for r in update.of("ran") if r.decision.job.kind == "train"]
    for result in trained:
        job = result.decision.job
        yield f"Retrained: {job.task} {job.language} ({result.decision.reason})."
    reused = [r for r in update.of("reused") if r.decision.job.kind == "train"]
    languages = ", ".join(r.decision.job.language or COMBINED for r in reused)
    yield f"Reused as they are: the adapters of {languages or 'no language'}."
    for result in update.of("stale"):
        yield f"Stale: {result.decision.job.model} ({result.decision.reason})."
    yield from _bill(update, trained)


def _bill(update: Run, trained: list[JobResult]) -> Iterator[str]:
    all_in = _seconds(update.of("ran"))
    yield (
        f"Cost of the update: {_seconds(trained):.0f} s of training, "
        f"{all_in:.0f} s with merging and evaluation."
    )
    everything = [r for r in update.results.values() if r.decision.job.kind == "train"]
    combined = [r for r in everything if r.decision.job.model == COMBINED]
    adapters = [r for r in everything if r.decision.job.model != COMBINED]
    if combined:
        seconds = _seconds(combined)
        yield (
            f"Retraining the combined model took {seconds:.0f} s on the older, smaller data: "
            f"the update needed {100 * _seconds(trained) / seconds:.0f}% of that in training."
        )
    yield f"Training all {len(adapters)} adapters anew takes {_seconds(adapters):.0f} s."


def _seconds(results: Iterable[JobResult]) -> float:
    return sum(float(r.action.ledger["seconds"]) for r in results if r.action is not None)
