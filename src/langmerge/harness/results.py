"""Results of lm-evaluation-harness in our form, each with a signature that says whose it is.

Values stay as the harness reports them (accuracy from 0 to 1, say). Its prompts, splits and metrics
are not ours, so its signatures equal none of ours and nothing compares the two unasked.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

from langmerge.canonical import digest_of, parse_json
from langmerge.errors import DataError
from langmerge.results import Measured
from langmerge.tables import TextTable

_CONFIDENCE = 0.95
_STDERR = "_stderr"
# Keys of a task's results that are no metrics.
_NO_METRICS = ("alias", "name", "sample_len", "sample_count")
# What a task's configuration says of the model rather than of the task.
_NOT_THE_TASK = ("metadata",)


@dataclass(frozen=True)
class HarnessScore:
    """One metric of one task.

    Attributes:
        task: the harness's name of the task or group.
        metric: the harness's name of the metric, such as `acc_norm`.
        filter: what the harness did to the answers before the metric; `none` for nothing.
        n: how many rows; None for a group.
        higher_is_better: None where the harness does not say.
        measured: the value as reported, with the interval its standard error gives; the harness
            takes rows to be independent.
    """

    task: str
    metric: str
    filter: str
    n: int | None
    higher_is_better: bool | None
    measured: Measured

    def to_json(self) -> dict[str, Any]:
        """Return the score as a JSON object."""
        return {**asdict(self), "measured": self.measured.model_dump()}


@dataclass(frozen=True)
class HarnessResults:
    """What one run of the harness found.

    Attributes:
        model: what the harness was run on, as it or we call it.
        version: the harness's version, as far as known.
        scores: in the order of tasks and metrics.
    """

    model: str
    version: str
    scores: tuple[HarnessScore, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the results as a JSON object."""
        return {
            "harness": "lm-eval",
            "version": self.version,
            "model": self.model,
            "confidence": _CONFIDENCE,
            "scores": [score.to_json() for score in self.scores],
        }

    def table(self) -> TextTable:
        """Return the scores as a table, a line per task and metric."""
        return TextTable(
            title=f"{self.model}: lm-evaluation-harness {self.version}",
            header=("task", "metric", "n", "value", f"{100 * _CONFIDENCE:g}%"),
            rows=tuple(
                (
                    score.task,
                    score.metric if score.filter == "none" else f"{score.metric} ({score.filter})",
                    "" if score.n is None else str(score.n),
                    f"{score.measured.value:.4g}",
                    _bounds(score.measured),
                )
                for score in self.scores
            ),
            notes=(
                "Values as the harness reports them; intervals from its standard errors, which "
                "take rows to be independent. Not to be compared with langmerge's own scores.",
                *dict.fromkeys(score.measured.signature for score in self.scores),
            ),
        )


def _bounds(measured: Measured) -> str:
    if measured.low is None or measured.high is None:
        return "-"
    return f"{measured.low:.4g}–{measured.high:.4g}"


def read_harness_results(path: Path) -> HarnessResults:
    """Read a results file that `lm_eval --output_path` wrote.

    Raises:
        DataError: if it is not there, or not such a file.
    """
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
        json.dumps(content, ensure_ascii=False).encode()  # half a character could not be printed
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"{path}: cannot be read ({reason}); name a results_*.json") from None
    except ValueError:
        raise DataError(f"{path}: not JSON; expected what `lm_eval --output_path` wrote") from None
    return from_harness(content, str(path))


def from_harness(content: Any, where: str, model: str | None = None) -> HarnessResults:
    """Return the harness's results in our form.

    Args:
        content: what `simple_evaluate` returned, or its results file's content.
        where: what messages call it.
        model: the model's name; the harness's own by default.

    Raises:
        DataError: if there is no `results` with a metric in it, or a value is no number.
    """
    if not isinstance(content, Mapping) or not isinstance(content.get("results"), Mapping):
        found = ", ".join(map(str, content)) if isinstance(content, Mapping) else "no object"
        raise DataError(
            f"{where}: expected results of lm-evaluation-harness with a key 'results'; "
            f"found {found or 'an empty object'}"
        )
    scores = tuple(
        score
        for task, metrics in content["results"].items()
        for score in _of_task(content, task, metrics, where)
    )
    if not scores:
        raise DataError(f"{where}: 'results' has no metric; was the run cut off? run it again")
    version = str(content.get("lm_eval_version") or "unknown")
    return HarnessResults(model or _model_of(content), version, scores)


def _model_of(content: Mapping[str, Any]) -> str:
    config = content.get("config")
    arguments = config.get("model_args") if isinstance(config, Mapping) else None
    if isinstance(arguments, Mapping):
        arguments = arguments.get("pretrained")
    return str(content.get("model_name") or arguments or "unknown model")


def _of_task(
    content: Mapping[str, Any], task: str, metrics: Any, where: str
) -> Iterator[HarnessScore]:
    if not isinstance(metrics, Mapping):
        raise DataError(f"{where}: results.{task}: expected metrics, found {metrics!r:.60}")
    for key, value in metrics.items():
        metric, comma, filtered = key.partition(",")
        if metric in _NO_METRICS or metric.endswith(_STDERR) or not comma:
            continue
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not math.isfinite(value)
        ):
            raise DataError(
                f"{where}: results.{task}.{key}: expected a number, found {value!r:.60}"
            )
        low, high = _interval(value, metrics.get(f"{metric}{_STDERR},{filtered}"))
        n = _part(content, "n-samples", task)
        better = _part(content, "higher_is_better", task)
        yield HarnessScore(
            task=task,
            metric=metric,
            filter=filtered,
            n=n.get("effective") if isinstance(n, Mapping) else None,
            higher_is_better=better.get(metric) if isinstance(better, Mapping) else None,
            measured=Measured(
                value=value,
                low=low,
                high=high,
                signature=_signature(content, task, metric, filtered),
            ),
        )


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value)


def _part(content: Mapping[str, Any], section: str, task: str) -> Any:
    found = content.get(section)
    return found.get(task) if isinstance(found, Mapping) else None


def _interval(value: float, error: Any) -> tuple[float | None, float | None]:
    if not _is_number(error):
        return None, None
    reach = NormalDist().inv_cdf((1 + _CONFIDENCE) / 2) * error
    return value - reach, value + reach


def _signature(content: Mapping[str, Any], task: str, metric: str, filtered: str) -> str:
    """Return all that two of the harness's scores must share to be compared."""
    config = _part(content, "configs", task)
    parts = {
        "harness": "lm-eval",
        "version": content.get("lm_eval_version") or "unknown",
        "task": task,
        "task-version": _part(content, "versions", task),
        "shots": _part(content, "n-shot", task),
        "filter": filtered,
        "config": _config_digest(config) if isinstance(config, Mapping) else None,
    }
    known = (f"{key}:{value}" for key, value in parts.items() if value is not None)
    return "|".join([metric, *known])


def _config_digest(config: Mapping[str, Any]) -> str:
    of_task = {key: value for key, value in config.items() if key not in _NOT_THE_TASK}
    text = json.dumps(of_task, default=str)
    try:
        return digest_of(json.loads(text))[:8]
    except ValueError:  # infinity, which the harness writes and JSON does not have
        return digest_of(text)[:8]
