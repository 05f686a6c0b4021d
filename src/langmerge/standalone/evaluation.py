"""A model evaluated on data: predictions from the cache or from the model, then scores.

Predictions are kept in the user's cache under everything they depend on. Scores are measured from
them every time, so another metric or another confidence level costs no model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langmerge import __version__
from langmerge.cache import cache_folder
from langmerge.canonical import digest_of
from langmerge.data import Split
from langmerge.errors import UserError
from langmerge.plan.keys import STEP_VERSIONS
from langmerge.project import EvaluateSettings
from langmerge.results import Measured
from langmerge.standalone.subject import Subject
from langmerge.statistics import Interval, Samples, bootstrap, bootstrap_mean
from langmerge.store import Action, Store
from langmerge.tables import TextTable
from langmerge.tasks import Prediction, Task
from langmerge.tasks.predictions import PREDICTIONS_FILE, read_predictions, write_predictions
from langmerge.train.config import TrainConfig

if TYPE_CHECKING:
    from langmerge.evaluate.engines import Engine

_BOOTSTRAP_SEED = 0

OnProgress = Callable[[str, int, int], None]
"""Called with (language, rows done, rows in all)."""


@dataclass(frozen=True)
class Options:
    """How a model computes and how sure its scores are; what is left out is a project's default.

    Attributes:
        engine: `transformers`, or `vllm` for generated text.
        device: torch's name of a device; `auto` takes a GPU where there is one.
        dtype: of the weights; `auto` is bfloat16 on a GPU and float32 on a CPU.
        max_length: the most tokens of prompt and answer; longer prompts lose their beginning.
        batch_tokens: the most tokens computed together.
        resamples: of the bootstrap.
        confidence: of the intervals.
        fresh: compute again what the cache has.
    """

    engine: str = "transformers"
    device: str = "auto"
    dtype: Any = "auto"
    max_length: int = TrainConfig().max_length
    batch_tokens: int = EvaluateSettings().batch_tokens
    resamples: int = EvaluateSettings().resamples
    confidence: float = EvaluateSettings().confidence
    fresh: bool = False


@dataclass(frozen=True)
class LanguageScores:
    """One language's predictions and what they are worth.

    Attributes:
        language: the language.
        data: digest of the rows.
        cached: the predictions came from the cache.
        predictions: one per row.
        metrics: values with intervals, by name, the primary one first.
    """

    language: str
    data: str
    cached: bool
    predictions: tuple[Prediction, ...]
    metrics: Mapping[str, Measured]


@dataclass(frozen=True)
class Evaluation:
    """A model's scores on every language, and the mean of the primary metric."""

    subject: Subject
    task: Task
    options: Options
    languages: tuple[LanguageScores, ...]
    average: Measured

    def to_json(self) -> dict[str, Any]:
        """Return the scores as a JSON object, without the predictions."""
        return {
            "langmerge": __version__,
            "model": {
                "name": self.subject.name,
                "base": self.subject.base.name,
                **self.subject.identity(),
                "engine": self.options.engine,
            },
            "task": self.task.evaluation_identity(self.languages[0].language),
            "primary_metric": self.task.primary_metric,
            "confidence": self.options.confidence,
            "languages": [
                {
                    "language": scores.language,
                    "n": len(scores.predictions),
                    "data": scores.data,
                    "cached": scores.cached,
                    "metrics": {name: m.model_dump() for name, m in scores.metrics.items()},
                }
                for scores in self.languages
            ],
            "average": self.average.model_dump(),
        }

    def table(self) -> TextTable:
        """Return the scores as a table: metrics down, languages across."""
        several = len(self.languages) > 1
        # Metrics of single labels would fill the screen; JSON has them.
        names = [name for name in self._metric_names() if ":" not in name]
        return TextTable(
            title=f"{self.subject.name}: {self.task.type}, by {self.task.primary_metric}",
            header=(
                "metric",
                *(scores.language for scores in self.languages),
                *(["mean"] if several else []),
            ),
            rows=tuple(self._row(name, several) for name in names),
            notes=tuple(self._notes(names)),
        )

    def _metric_names(self) -> list[str]:
        return list(dict.fromkeys(name for scores in self.languages for name in scores.metrics))

    def _row(self, name: str, several: bool) -> tuple[str, ...]:
        cells = [_cell(scores.metrics.get(name)) for scores in self.languages]
        mean = _cell(self.average if name == self.task.primary_metric else None)
        return (name, *cells, *([mean] if several else []))

    def _notes(self, names: Sequence[str]) -> Iterator[str]:
        rows = ", ".join(f"{s.language} {len(s.predictions)}" for s in self.languages)
        cached = [scores.language for scores in self.languages if scores.cached]
        reused = f" Answers of {', '.join(cached)} are from the cache." if cached else ""
        yield (
            f"Rows: {rows}. In brackets the {100 * self.options.confidence:g}% interval, which "
            f"resamples groups of rows, jointly over languages.{reused}"
        )
        signatures: dict[str, list[str]] = {}
        for scores in self.languages:
            for name in names:
                if name in scores.metrics:
                    signatures.setdefault(scores.metrics[name].signature, []).append(
                        scores.language
                    )
        for signature, languages in signatures.items():
            everywhere = len(languages) == len(self.languages)
            yield signature if everywhere else f"{signature} ({', '.join(languages)})"


def _cell(measured: Measured | None) -> str:
    if measured is None:
        return ""
    if measured.low is None or measured.high is None:
        return f"{measured.value:.1f}"
    return f"{measured.value:.1f} [{measured.low:.1f}, {measured.high:.1f}]"


def evaluate(
    subject: Subject,
    task: Task,
    splits: Mapping[str, Split],
    options: Options = Options(),
    on_progress: OnProgress | None = None,
) -> Evaluation:
    """Evaluate a model; answers it has given before are read from the user's cache.

    Args:
        subject: the model.
        task: the task.
        splits: the rows of every language, one language at least.
        options: how to compute.
        on_progress: called after every batch.

    Raises:
        AdapterError: if the adapter does not fit its base; before the base is loaded.
        BaseModelError: if the model cannot be loaded.
        MissingExtraError: if the engine is not installed.
        UserError: if the engine cannot do the task.
    """
    if options.engine == "vllm" and task.writing() is None:
        raise UserError(
            f"--engine vllm: generates text only, and this {task.type} task scores candidates; "
            "leave it out, or let the model write its answers: --set generate=true"
        )
    store = Store(cache_folder() / "evaluations")
    documents = {
        language: _document(subject, task, language, split, options)
        for language, split in splits.items()
    }
    known = {
        language: action
        for language, document in documents.items()
        if not options.fresh and (action := store.action(digest_of(document))) is not None
    }
    made = {language: action.output for language, action in known.items()}
    missing = {language: split for language, split in splits.items() if language not in known}
    if missing:
        for language, predictions in _predict(subject, task, missing, options, on_progress):
            made[language] = store.put(partial(_write, predictions))
            document = documents[language]
            store.record(Action(digest_of(document), document, made[language]))
    predictions_of = {
        language: read_predictions(store.object(made[language]) / PREDICTIONS_FILE)
        for language in splits
    }
    return _scored(
        subject, task, splits, options, predictions_of=predictions_of, cached=frozenset(known)
    )


def _write(predictions: Sequence[Prediction], folder: Path) -> None:
    write_predictions(folder / PREDICTIONS_FILE, predictions)


def _document(
    subject: Subject, task: Task, language: str, split: Split, options: Options
) -> dict[str, Any]:
    """Return everything that a language's predictions depend on."""
    return {
        "step": STEP_VERSIONS["evaluate"],
        **subject.identity(),
        "language": language,
        "data": split.digest,
        "task": task.evaluation_identity(language),
        "max_length": options.max_length,
        "dtype": options.dtype,
        "device": options.device,
        "engine": options.engine,
    }


def _predict(
    subject: Subject,
    task: Task,
    splits: Mapping[str, Split],
    options: Options,
    on_progress: OnProgress | None,
) -> Iterator[tuple[str, list[Prediction]]]:
    from langmerge.encoding import Encoder
    from langmerge.evaluate.predict import predict_with
    from langmerge.examples import Presenter

    with _opened(subject, task, options, on_progress) as (tokenizer, engine_for):
        encoder = Encoder(tokenizer, options.max_length)
        for language, split in splits.items():
            presenter = Presenter(task, language, encoder)
            predictions, _ = predict_with(engine_for(language), presenter, split.rows)
            yield language, predictions


@contextmanager
def _opened(
    subject: Subject, task: Task, options: Options, on_progress: OnProgress | None
) -> Iterator[tuple[Any, Callable[[str], Engine]]]:
    """Yield the tokenizer, and a function from a language to the engine that computes it."""
    from langmerge.evaluate.engines import TransformersEngine

    if options.engine == "vllm" and (writing := task.writing()) is not None:
        from langmerge.evaluate.vllm import VllmEngine
        from langmerge.model import load_tokenizer

        tokenizer = load_tokenizer(subject.base)
        length = options.max_length + writing.max_new_tokens
        engine = VllmEngine(subject.base, subject.adapter, tokenizer, options.dtype, length)
        yield tokenizer, lambda language: engine
        return
    with loaded(subject, options.device, options.dtype) as base:
        yield (
            base.tokenizer,
            lambda language: TransformersEngine(
                base, options.batch_tokens, on_progress and partial(on_progress, language)
            ),
        )


@contextmanager
def loaded(subject: Subject, device: str, dtype: Any) -> Iterator[Any]:
    """Load a model with its adapter folded in; a `langmerge.model.BaseModel`.

    Raises:
        AdapterError: if the adapter does not fit its base; before the base is loaded.
        BaseModelError: if the base cannot be loaded.
    """
    from langmerge.adapter import Adapter
    from langmerge.model import folded, load_base, load_skeleton, refuse_unfit_adapter

    adapter = None if subject.adapter is None else Adapter.load(subject.adapter)
    if adapter is not None:
        refuse_unfit_adapter(load_skeleton(subject.base), adapter)
    base = load_base(subject.base, device, dtype)
    with folded(base, adapter):
        yield base


def _scored(
    subject: Subject,
    task: Task,
    splits: Mapping[str, Split],
    options: Options,
    *,
    predictions_of: Mapping[str, Sequence[Prediction]],
    cached: frozenset[str],
) -> Evaluation:
    resampling = {
        "seed": _BOOTSTRAP_SEED,
        "resamples": options.resamples,
        "confidence": options.confidence,
    }
    languages = []
    primary: Samples = {}
    for language, predictions in predictions_of.items():
        metrics = task.measure(predictions, language)
        groups = [prediction.group for prediction in predictions]
        primary = {**primary, language: (metrics[0], groups)}
        measured = {
            metric.name: _measured(bootstrap(metric, groups, **resampling), metric.signature)  # type: ignore[arg-type]
            for metric in metrics
        }
        languages.append(
            LanguageScores(
                language,
                splits[language].digest,
                language in cached,
                tuple(predictions),
                measured,
            )
        )
    signatures = dict.fromkeys(metric.signature for metric, _ in primary.values())
    mean = bootstrap_mean(primary, **resampling)  # type: ignore[arg-type]
    return Evaluation(
        subject, task, options, tuple(languages), _measured(mean, " & ".join(signatures))
    )


def _measured(interval: Interval, signature: str) -> Measured:
    return Measured(value=interval.value, low=interval.low, high=interval.high, signature=signature)
