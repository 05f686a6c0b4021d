"""An evaluation job: a model's answers to a language's rows, and what they are worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from langmerge.adapter import Adapter
from langmerge.engine.bench import Bench, Produced
from langmerge.evaluate.predict import predict_rows
from langmerge.evaluate.routing import predict_routed
from langmerge.memory import halving
from langmerge.plan import Job
from langmerge.plan.graph import ROUTED, train_id
from langmerge.plan.keys import adapter_used
from langmerge.tasks import Prediction
from langmerge.tasks.predictions import PREDICTIONS_FILE, write_predictions

_ROUTING = ("languages", "adapter_bytes", "switch_seconds", "identify_seconds", "identifier")
"""What is told of routing, by the names of its values."""


def evaluate(bench: Bench, job: Job) -> Produced:
    """Have a model answer a language's rows."""
    assert job.language is not None
    assert job.split is not None
    if job.model == ROUTED:
        return _evaluate_routed(bench, job, job.language, job.split)
    adapter = adapter_used(job, bench.project, bench.planner.facts)
    base = bench.base_with(adapter)
    rows = bench.rows(job.task, job.language, job.split)
    presenter = bench.presenter(job.task, job.language)
    (predictions, tokens), batch_tokens = halving(
        lambda size: predict_rows(base, presenter, rows, batch_tokens=size),
        bench.project.evaluate.batch_tokens,
    )
    ledger = {"rows": len(rows), "tokens": tokens, "batch_tokens": batch_tokens}
    return _answered(
        bench, job, job.language, predictions, facts={"adapter": adapter}, ledger=ledger
    )


def _evaluate_routed(bench: Bench, job: Job, language: str, split: str) -> Produced:
    """Have each row answered by the adapter of the language that it looks like."""
    base, codes = bench.base_with(None), list(bench.project.languages)
    presenters = {code: bench.presenter(job.task, code) for code in codes}
    adapters = {
        code: Adapter.load(bench.object_of(train_id(job.task, code, job.seed or 0)))
        for code in codes
    }
    rows = bench.rows(job.task, language, split)
    found, batch_tokens = halving(
        lambda size: predict_routed(base, presenters, adapters, rows, size),
        bench.project.evaluate.batch_tokens,
    )
    facts = {"adapter": None, "routing": {name: getattr(found, name) for name in _ROUTING}}
    ledger = {"rows": len(rows), "tokens": found.tokens, "batch_tokens": batch_tokens}
    return _answered(bench, job, language, found.predictions, facts=facts, ledger=ledger)


def _answered(
    bench: Bench,
    job: Job,
    language: str,
    predictions: Sequence[Prediction],
    *,
    facts: Mapping[str, Any],
    ledger: Mapping[str, Any],
) -> Produced:
    """Put answers into the store, and measure them."""
    measured = bench.project.tasks[job.task].measure(predictions, language)

    def build(folder: Path) -> None:
        write_predictions(folder / PREDICTIONS_FILE, predictions)

    values = {metric.name: metric.value for metric in measured}
    facts = {**facts, "metrics": values, "rows": len(predictions)}
    return Produced(bench.store.put(build), facts, ledger)
