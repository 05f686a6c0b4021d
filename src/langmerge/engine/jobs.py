"""What each kind of job does, over one base model that stays in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from langmerge.adapter import Adapter
from langmerge.canonical import digest_of
from langmerge.check import training_set
from langmerge.choose.auto import Choice, choose
from langmerge.data import (
    Row,
    Split,
    read_rows,
    row_digest,
    rows_to_learn,
    share_of_rows,
    write_rows,
)
from langmerge.durations import time_text
from langmerge.encoding import Encoder, Example
from langmerge.errors import FATAL, DataError
from langmerge.evaluate.predict import predict_rows
from langmerge.evaluate.routing import predict_routed
from langmerge.examples import Presenter
from langmerge.memory import halving
from langmerge.merging import Recipe, merge
from langmerge.merging.auto import AUTO, CANDIDATES, default_recipe, settings_of
from langmerge.model import BaseModel, folded, load_base
from langmerge.plan import Decision, Job, Planner
from langmerge.plan.data import facts_of, identify_sources, read_splits
from langmerge.plan.graph import ANCESTOR, ROUTED, data_id, train_id
from langmerge.plan.keys import CONTINUED, SEPARATE, SHARE, adapter_used, training_of
from langmerge.plan.weighting import by_inverse_norm, resolved
from langmerge.tasks.predictions import PREDICTIONS_FILE, write_predictions
from langmerge.train.config import TrainConfig
from langmerge.train.flops import peak_flops
from langmerge.train.group import train_adapters
from langmerge.train.lesson import Lesson, Manner, Outcome, StepTaken, TrainResult
from langmerge.train.lora import separate_start
from langmerge.train.record import TrainingRecord, read_record, write_record

Progress = Callable[[Job, int, int, str], None]
"""Called with a job, how much of it is done, of how much, and a note for people."""

_CHECKPOINT_SECONDS = 60.0

T = TypeVar("T")


@dataclass(frozen=True)
class Produced:
    """What a job made: its object's digest, facts for later jobs, and its own part of the bill."""

    output: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    ledger: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Asked:
    """What a training is asked to learn.

    Attributes:
        lesson: what it is.
        rows: digests of the rows that its adapter will know.
        together: how many trainings its unit has.
    """

    lesson: Lesson
    rows: frozenset[str]
    together: int


Made = Callable[[Decision, Produced | Exception], None]
"""Called with a job that is done, and what it made or why it could not."""


class Workbench:
    """Carries out jobs; loads the base model on first use and keeps one adapter folded in."""

    def __init__(self, planner: Planner, base: BaseModel | None = None) -> None:
        """Set up for a plan; with the plan's base, if it is in memory already."""
        self._planner = planner
        self._project = planner.project
        self._store = planner.store
        self._base = base
        self._folded: str | None = None
        self._folding = ExitStack()

    def __enter__(self) -> Workbench:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._folding.close()

    def do(self, decisions: Sequence[Decision], made: Made, progress: Progress) -> None:
        """Carry out a unit's jobs, whose needs are done; `made` is told of each as it is done."""
        if decisions[0].job.kind == "train":
            self._train(decisions, made, progress)
            return
        for decision in decisions:
            made(decision, _outcome_of(self._do, decision, progress))

    def _do(self, decision: Decision, progress: Progress) -> Produced:
        job = decision.job
        if job.kind == "data":
            assert decision.document is not None
            return self._read_data(job, decision.document)
        if job.kind == "merge":
            assert decision.document is not None
            return self._merge(job, decision.document, progress)
        return self._evaluate(job)

    def _read_data(self, job: Job, document: Mapping[str, Any]) -> Produced:
        splits = read_splits(self._project, job)
        if identify_sources(self._project, job) != document["sources"]:
            raise DataError(f"{job.id}: a file changed while it was read; run again")
        self._planner.learn_rows(job, splits)

        def build(folder: Path) -> None:
            for name, split in splits.items():
                write_rows(folder / f"{name}.jsonl", split.rows)

        return Produced(self._store.put(build), facts_of(splits))

    def _train(self, decisions: Sequence[Decision], made: Made, progress: Progress) -> None:
        """Train the adapters of a unit together, over one resident base."""
        left = {decision.job.id: decision for decision in decisions}
        asked: dict[str, _Asked] = {}
        manners: list[Manner] = []

        def done(name: str, outcome: Produced | Exception) -> None:
            decision = left.pop(name)
            try:
                made(decision, outcome)
            except BaseException:
                left.clear()  # It is not a training that failed.
                raise

        def on_done(name: str, outcome: Outcome) -> None:
            manner = manners[-1] if manners else None
            if isinstance(outcome, Exception):
                done(name, outcome)
            else:
                done(name, self._trained(outcome, asked[name], manner))

        def on_step(taken: StepTaken) -> None:
            progress(left[taken.name].job, taken.step, taken.steps, _note(taken))

        def train(names: Iterable[str]) -> None:
            train_adapters(
                self._base_with(None),
                [asked[name].lesson for name in names],
                grouping=self._project.train.grouping,
                checkpoint_seconds=_CHECKPOINT_SECONDS,
                on_step=on_step,
                on_done=on_done,
                on_manner=manners.append,
            )

        for decision in decisions:
            found = _outcome_of(self._asked, decision, len(decisions))
            if isinstance(found, Exception):
                done(decision.job.id, found)
            else:
                asked[decision.job.id] = found
        failed = _outcome_of(train, asked) if asked else None
        if failed is not None and not left:
            raise failed
        # What nobody foresaw in one training is not to stop the others.
        for name in list(left):
            if len(left) > 1 or failed is None:
                failed = _outcome_of(train, [name])
            if failed is not None and name in left:
                done(name, failed)

    def _asked(self, decision: Decision, together: int) -> _Asked:
        """Return what a training is asked to learn; `together` are the trainings of its unit."""
        job, document = decision.job, decision.document
        assert document is not None
        config, known = training_of(job, self._project), frozenset[str]()
        start = self._start(job, document)
        if CONTINUED in document:
            config = self._project.continuing_train_for(job.language)
            parent = self._store.object(document[CONTINUED]["from"])
            start, known = Adapter.load(parent), read_record(parent).rows
        rows = self._rows_to_learn(job, document, known)
        examples = [
            example
            for language, chosen in rows.items()
            for example in self._training_set(job.task, language, chosen, config.max_length)
        ]
        lesson = Lesson(
            job.id,
            examples,
            self._project.adapter_for(job.language),
            config,
            seed=job.seed or 0,
            start=start,
            dev=self._dev_examples(job, config),
            checkpoint_dir=self._store.work(digest_of(document)),
        )
        learned = {row_digest(row) for chosen in rows.values() for row in chosen}
        return _Asked(lesson, known | learned, together)

    def _dev_examples(self, job: Job, config: TrainConfig) -> list[Example]:
        """Return what a training's dev loss is measured on; nothing where it is not asked for."""
        if not config.eval_steps:
            return []
        return [
            example
            for language in self._languages_of(job)
            if self._project.has_dev(job.task, language)
            for example in self._training_set(
                job.task, language, self._rows(job.task, language, "dev"), config.max_length
            )
        ]

    def _trained(self, result: TrainResult, asked: _Asked, manner: Manner | None) -> Produced:
        """Put a trained adapter into the store; `manner` is how those of its unit were trained."""

        def build(folder: Path) -> None:
            result.adapter.save(folder)
            record = TrainingRecord(result.losses, result.dev_losses, asked.rows)
            write_record(folder, record)

        output = self._store.put(build)
        rows = len(asked.lesson.examples)
        ledger: dict[str, Any] = {
            "rows": rows,
            "tokens": result.tokens,
            "padded_tokens": result.padded_tokens,
            "supervised_tokens": result.supervised_tokens,
            "training_seconds": round(result.seconds, 3),
            "micro_batch_size": result.micro_batch_size,
            "flops": result.flops,
            **_utilization(result, self._base_with(None)),
        }
        if manner is not None and manner.way == "grouped":
            # The meter's seconds are of all adapters in the step.
            ledger["seconds"] = round(result.seconds - result.earlier_seconds, 3)
        if manner is not None and asked.together > 1:
            speeds = {way: round(of.tokens_per_second, 1) for way, of in manner.speeds.items()}
            ledger["together"] = {
                "adapters": asked.together,
                "way": manner.way,
                "reason": manner.reason,
                **({"tokens_per_second": speeds} if speeds else {}),
            }
        facts = {"rows": rows, "steps": result.steps}
        if result.best_step != result.steps:
            facts["best_step"] = result.best_step
        return Produced(output, facts, ledger)

    def _languages_of(self, job: Job) -> list[str]:
        return sorted(self._project.languages) if job.language is None else [job.language]

    def _start(self, job: Job, document: Mapping[str, Any]) -> Adapter | None:
        """Return what a training starts from; None for what all of a seed share."""
        if ANCESTOR in document:
            return Adapter.load(self._store.object(document[ANCESTOR]))
        if document.get("init") == SEPARATE:
            lora, language = self._project.adapter_for(job.language), job.language or ""
            return separate_start(self._base_with(None), lora, job.seed or 0, language)
        return None

    def _rows_to_learn(
        self, job: Job, document: Mapping[str, Any], known: frozenset[str]
    ) -> dict[str, tuple[Row, ...]]:
        """Return the rows of every language that a training uses, in the order of the languages.

        The combined model's are in an order of their own: that of the project file, which its key
        does not hold, must not matter. Continuing it leaves out languages that bring nothing new:
        that is what it saves.
        """
        rows = {
            language: self._rows(job.task, language, "train")
            for language in self._languages_of(job)
        }
        if SHARE in document:
            return {
                language: share_of_rows(of, document[SHARE], job.seed or 0)
                for language, of in rows.items()
            }
        if CONTINUED not in document:
            return rows
        chosen = {
            language: rows_to_learn(of, known, document[CONTINUED]["replay"], job.seed or 0)
            for language, of in rows.items()
            if any(row_digest(row) not in known for row in of)
        }
        # Rows were only taken away: there is nothing new, so what is left is gone over again.
        return chosen or rows

    def _merge(self, job: Job, document: Mapping[str, Any], progress: Progress) -> Produced:
        assert job.recipe is not None
        seed = job.seed or 0
        languages = list(self._project.languages)
        recipe = resolved(self._project, job.task, job.recipe, seed, self._planner.facts)
        adapters = {
            language: self._object_of(train_id(job.task, language, seed)) for language in languages
        }
        ancestor = None
        if self._project.has_ancestor:
            ancestor = self._object_of(train_id(job.task, ANCESTOR, seed))
        if self._project.merge[job.recipe].weights == "norm":
            start = None if ancestor is None else Adapter.load(ancestor)
            norms = [Adapter.load(each).distance(start) for each in adapters.values()]
            recipe = replace(recipe, weights=by_inverse_norm(norms))
        choice = None
        if self._project.chooses_on_dev(job.task, job.recipe):
            choice = self._choose(job, recipe, adapters, document, progress, ancestor=ancestor)
            recipe = choice.recipe
        elif recipe.method == AUTO:
            recipe = default_recipe(recipe, len(languages))
        merged = merge(
            list(adapters.values()),
            recipe.method,
            on_progress=lambda done, total: progress(job, done, total, ""),
            ancestor=ancestor,
            **recipe.as_options(),
        )

        if choice is not None:
            merged = merged.with_recipe({**(merged.recipe or {}), "auto": choice.evidence})

        def build(folder: Path) -> None:
            merged.save(folder)

        output = self._store.put(build)
        if choice is None:
            return Produced(output)
        return Produced(output, {"recipe": recipe.as_dict(), "auto": choice.evidence})

    def _choose(
        self,
        job: Job,
        auto: Recipe,
        adapters: Mapping[str, Path],
        document: Mapping[str, Any],
        progress: Progress,
        *,
        ancestor: Path | None,
    ) -> Choice:
        """Choose a merge's recipe on dev."""
        return choose(
            self._base_with(None),
            (job.task, self._project.tasks[job.task]),
            adapters,
            {language: self._rows(job.task, language, "dev") for language in adapters},
            [settings_of(candidate, auto) for candidate in CANDIDATES],
            max_lengths={code: self._project.train_for(code).max_length for code in adapters},
            batch_tokens=self._project.evaluate.batch_tokens,
            seed=auto.seed,
            ancestor=ancestor,
            journal=self._store.work(digest_of(document)) / "answers.jsonl",
            on_progress=lambda done, total, note: progress(job, done, total, note),
        )

    def _evaluate(self, job: Job) -> Produced:
        assert job.language is not None
        assert job.split is not None
        if job.model == ROUTED:
            return self._evaluate_routed(job)
        task = self._project.tasks[job.task]
        adapter = adapter_used(job, self._project, self._planner.facts)
        base = self._base_with(adapter)
        rows = self._rows(job.task, job.language, job.split)
        encoder = Encoder(base.tokenizer, self._project.train_for(job.language).max_length)
        presenter = Presenter(task, job.language, encoder)
        (predictions, tokens), batch_tokens = halving(
            lambda size: predict_rows(base, presenter, rows, batch_tokens=size),
            self._project.evaluate.batch_tokens,
        )
        values = {metric.name: metric.value for metric in task.measure(predictions, job.language)}

        def build(folder: Path) -> None:
            write_predictions(folder / PREDICTIONS_FILE, predictions)

        output = self._store.put(build)
        facts = {"adapter": adapter, "metrics": values, "rows": len(rows)}
        ledger = {"rows": len(rows), "tokens": tokens, "batch_tokens": batch_tokens}
        return Produced(output, facts, ledger)

    def _evaluate_routed(self, job: Job) -> Produced:
        """Have each row answered by the adapter of the language that it looks like."""
        assert job.language is not None
        assert job.split is not None
        project, task = self._project, self._project.tasks[job.task]
        base = self._base_with(None)
        presenters = {
            code: Presenter(task, code, Encoder(base.tokenizer, project.train_for(code).max_length))
            for code in project.languages
        }
        adapters = {
            code: Adapter.load(self._object_of(train_id(job.task, code, job.seed or 0)))
            for code in project.languages
        }
        rows = self._rows(job.task, job.language, job.split)
        found, batch_tokens = halving(
            lambda size: predict_routed(base, presenters, adapters, rows, size),
            project.evaluate.batch_tokens,
        )
        values = {m.name: m.value for m in task.measure(found.predictions, job.language)}

        def build(folder: Path) -> None:
            write_predictions(folder / PREDICTIONS_FILE, found.predictions)

        output = self._store.put(build)
        routing = {
            name: getattr(found, name)
            for name in (
                "languages", "adapter_bytes", "switch_seconds", "identify_seconds", "identifier",
            )
        }  # fmt: skip
        facts = {"adapter": None, "metrics": values, "rows": len(rows), "routing": routing}
        ledger = {"rows": len(rows), "tokens": found.tokens, "batch_tokens": batch_tokens}
        return Produced(output, facts, ledger)

    def _training_set(
        self, task: str, language: str, rows: tuple[Row, ...], max_length: int
    ) -> tuple[Example, ...]:
        encoder = Encoder(self._base_with(None).tokenizer, max_length)
        found = training_set(self._project, task, language, Split(rows), encoder)
        return tuple(example for example in found.examples if not example.cut_wholly)

    def _rows(self, task: str, language: str, split: str) -> tuple[Row, ...]:
        return read_rows(self._object_of(data_id(task, language)) / f"{split}.jsonl")

    def _object_of(self, job_id: str) -> Path:
        return self._store.object(self._planner.facts[job_id]["output"])

    def _base_with(self, adapter: str | None) -> BaseModel:
        """Return the base with an adapter folded into its weights, or with none."""
        if self._base is None:
            self._base = load_base(self._planner.base, dtype=self._project.train.dtype)
        if adapter != self._folded:
            self._folding.close()
            self._folded = None
            if adapter is not None:
                self._folding.enter_context(
                    folded(self._base, Adapter.load(self._store.object(adapter)))
                )
            self._folded = adapter
        return self._base


def _outcome_of(work: Callable[..., T], *arguments: Any) -> T | Exception:
    """Return what a job's work returns, or the error that concerns this job alone."""
    try:
        return work(*arguments)
    except FATAL:
        raise
    except Exception as error:
        return error


def _utilization(result: TrainResult, base: BaseModel) -> dict[str, float]:
    """Return the share of what the device could do at best, on devices where that is known."""
    peak = peak_flops(base.device)
    return {} if peak is None else {"mfu": round(result.flops / result.seconds / peak, 4)}


def _note(taken: StepTaken) -> str:
    """Return a step in words: `loss 0.412, 160 tokens/s, 3 min left`."""
    parts = [f"loss {taken.loss:.3f}"]
    if taken.dev_loss is not None:
        parts.append(f"dev {taken.dev_loss:.3f}")
    if taken.tokens_per_second:
        parts.append(
            f"{taken.tokens_per_second:,.0f} tokens/s, {time_text(taken.seconds_left)} left"
        )
    return ", ".join(parts)
