"""What an update cost, against retraining everything."""

from __future__ import annotations

from collections.abc import Iterator

from langmerge.engine import JobResult, Run
from langmerge.plan.graph import COMBINED


def describe_update(update: Run) -> Iterator[str]:
    """Yield what an update reused, retrained and left stale, and what it cost.

    Times are measured: of an adapter that was reused, and of the combined model, when they were
    trained; the latter before the newest rows were there if it is stale.
    """
    trained = [r for r in update.of("ran") if r.decision.job.kind == "train"]
    for result in trained:
        job = result.decision.job
        yield f"Retrained: {job.task} {job.language or job.model} ({result.decision.reason})."
    reused = [r for r in update.of("reused") if r.decision.job.kind == "train"]
    languages = ", ".join(r.decision.job.language or r.decision.job.model or "" for r in reused)
    yield f"Reused as they are: the adapters of {languages or 'no language'}."
    for result in update.of("stale"):
        yield f"Stale: {result.decision.job.model} ({result.decision.reason})."
    if trained:
        yield from _bill(update, trained)
    else:
        yield "Nothing was retrained, so there is no bill."


def _bill(update: Run, trained: list[JobResult]) -> Iterator[str]:
    seconds = sum(map(_training_seconds, trained))
    others = [r for r in update.of("ran") if r not in trained]
    rest = sum(float(r.action.ledger["seconds"]) for r in others if r.action is not None)
    yield (
        f"Cost of the update: {seconds:.0f} s of training, and {rest:.0f} s of merging and "
        "evaluation."
    )
    everything = [r for r in update.results.values() if r.decision.job.kind == "train"]
    combined = [r for r in everything if r.decision.job.model == COMBINED]
    if combined:
        whole = sum(map(_training_seconds, combined))
        when = "on the older, smaller data" if update.of("stale") else "on the same data"
        yield (
            f"Training the combined model took {whole:.0f} s {when}: the update's training is "
            f"{100 * seconds / whole:.0f}% of that."
        )
    adapters = [r for r in everything if not r.decision.job.is_baseline]
    whole = sum(map(_training_seconds, adapters))
    yield f"Training all {len(adapters)} adapters took {whole:.0f} s."


def _training_seconds(result: JobResult) -> float:
    return 0.0 if result.action is None else float(result.action.ledger["training_seconds"])
