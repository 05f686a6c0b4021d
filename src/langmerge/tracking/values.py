"""What of a run goes to a tracker, as plain values; nothing here knows a tracker."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from statistics import fmean
from typing import Any

from langmerge import __version__
from langmerge.engine import JobResult, Run
from langmerge.plan import Job
from langmerge.results import Results
from langmerge.tracking.outbox import without_credentials
from langmerge.upkeep.bill import SECONDS_PER_HOUR
from langmerge.workspace import Workspace

_SUMMED = ("seconds", "training_seconds", "tokens", "supervised_tokens", "energy_joules")
_HIGHEST = ("peak_memory_bytes", "peak_gpu_memory_bytes")

# Examples in prompts are text of the data, and where a tracker is is no setting of the run.
_NO_PARAMS = ("tracking", "shots")


def params(workspace: Workspace) -> dict[str, str]:
    """Return the project's settings by dotted key, and the digests of the base."""
    settings = workspace.project.model_dump(mode="json")
    identity = {f"base.{name}": digest for name, digest in workspace.base.identity().items()}
    return {**dict(_flat(settings, "")), **identity, "langmerge": __version__}


def _flat(value: Any, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            if name not in _NO_PARAMS:
                yield from _flat(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, str):
        yield key, without_credentials(value)
    elif value not in (None, {}, []):
        yield key, without_credentials(json.dumps(value, ensure_ascii=False))


def curve_name(job: Job) -> str:
    """Return the name of a training's loss: `loss/TASK/LANGUAGE/seedN`."""
    return f"loss/{job.id.removeprefix('train/')}"


def scores(results: Results) -> dict[str, float]:
    """Return every metric: `SPLIT/TASK/MODEL/LANGUAGE/METRIC`; `mean` is over the languages.

    With several seeds, it is the mean over them.
    """
    found: dict[str, list[float]] = defaultdict(list)
    for score in results.scores:
        for name, measured in score.metrics.items():
            where = (score.split, score.task, score.model, score.language, name)
            found["/".join(where)].append(measured.value)
    for of in results.averages:
        found["/".join((of.split, of.task, of.model, "mean", of.metric))] = [of.average.value]
    return {name: fmean(values) for name, values in found.items()}


def costs(run: Run, price_per_hour: float | None) -> dict[str, float]:
    """Return what the jobs that ran now cost: `cost/KIND/WHAT`, `cost/all/WHAT`; and how many."""
    ran = run.of("ran")
    found = {f"jobs/{name}": float(len(run.of(name))) for name in ("ran", "reused", "failed")}
    kinds = dict.fromkeys(result.decision.job.kind for result in ran)
    for kind in (*kinds, "all"):
        ledgers = [_ledger(r) for r in ran if kind in (r.decision.job.kind, "all")]
        for name in (*_SUMMED, *_HIGHEST):
            values = [float(ledger[name]) for ledger in ledgers if ledger.get(name) is not None]
            if values:
                total = sum(values) if name in _SUMMED else max(values)
                found[f"cost/{kind}/{name}"] = total
    if price_per_hour is not None and ran:
        found["cost/all/price"] = found["cost/all/seconds"] / SECONDS_PER_HOUR * price_per_hour
    return found


def _ledger(result: JobResult) -> Mapping[str, Any]:
    return result.action.ledger if result.action is not None else {}
