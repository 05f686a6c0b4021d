"""Training jobs: the adapters of a unit, together over one resident base."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langmerge.adapter import Adapter
from langmerge.canonical import digest_of
from langmerge.check import training_set
from langmerge.data import Row, Split, row_digest, rows_to_learn, share_of_rows
from langmerge.durations import time_text
from langmerge.encoding import Encoder, Example
from langmerge.engine.bench import Bench, Made, Produced, Progress
from langmerge.errors import FATAL
from langmerge.memory import release_memory
from langmerge.model import BaseModel
from langmerge.plan import Decision, Job
from langmerge.plan.graph import ANCESTOR
from langmerge.plan.keys import CONTINUED, SEPARATE, SHARE, training_of
from langmerge.train.config import TrainConfig
from langmerge.train.flops import peak_flops
from langmerge.train.group import train_adapters
from langmerge.train.lesson import Lesson, Manner, Outcome, StepTaken, TrainResult
from langmerge.train.lora import separate_start
from langmerge.train.record import TrainingRecord, read_record, write_record

CHECKPOINT_SECONDS = 60.0


def train(bench: Bench, decisions: Sequence[Decision], made: Made, progress: Progress) -> None:
    """Train the adapters of a unit; `made` is told of each as it is done.

    One that fails leaves the others alone.
    """
    unit = _Unit(bench, decisions, made, progress)
    unit.prepare()
    unit.train()


@dataclass(frozen=True)
class _Asked:
    """What a training is asked to learn.

    Attributes:
        lesson: what it is.
        rows: digests of the rows that its adapter will know.
    """

    lesson: Lesson
    rows: frozenset[str]


class _Unit:
    """The trainings of a unit, until each is done or has failed."""

    def __init__(
        self, bench: Bench, decisions: Sequence[Decision], made: Made, progress: Progress
    ) -> None:
        self._bench, self._made, self._progress = bench, made, progress
        self._size = len(decisions)
        self._left = {decision.job.id: decision for decision in decisions}
        self._asked: dict[str, _Asked] = {}
        self._manner: Manner | None = None
        self._begun, self._prepared = time.monotonic(), 0.0

    def prepare(self) -> None:
        """Find out what each is asked to learn; one of which that cannot be said has failed."""
        for name, decision in list(self._left.items()):
            try:
                self._asked[name] = _asked(self._bench, decision)
            except FATAL:
                raise
            except Exception as error:
                self._done(name, error)

    def train(self) -> None:
        """Train all that are left; what nobody foresaw in one does not stop the others."""
        if not self._left:
            return
        self._prepared = time.monotonic() - self._begun
        unforeseen: Exception | None = None
        try:
            self._train(self._left)
        except FATAL:
            raise
        except Exception as error:
            if not self._left:
                raise  # It was not a training that failed.
            unforeseen = error
        if unforeseen is not None:
            # Its frames hold the adapters of the whole unit.
            traceback.clear_frames(unforeseen.__traceback__)
            release_memory()
            self._fail_alone(unforeseen)

    def _fail_alone(self, error: Exception) -> None:
        """Find the one that failed by training each alone."""
        if len(self._left) == 1:
            self._done(next(iter(self._left)), error)
            return
        for name in list(self._left):
            try:
                self._train([name])
            except FATAL:
                raise
            except Exception as own:
                if name not in self._left:
                    raise
                self._done(name, own)

    def _train(self, names: Iterable[str]) -> None:
        train_adapters(
            self._bench.training_base(),
            [self._asked[name].lesson for name in names],
            grouping=self._bench.project.train.grouping,
            checkpoint_seconds=CHECKPOINT_SECONDS,
            on_step=self._on_step,
            on_done=self._on_done,
            on_manner=self._on_manner,
        )

    def _on_manner(self, manner: Manner) -> None:
        if self._manner is None:  # Those that are trained again, alone, began in another one.
            self._manner = manner

    def _on_step(self, taken: StepTaken) -> None:
        self._progress(self._left[taken.name].job, taken.step, taken.steps, _note(taken))

    def _on_done(self, name: str, outcome: Outcome) -> None:
        if isinstance(outcome, Exception):
            self._done(name, outcome)
        else:
            self._done(name, _kept(self._bench, outcome, self._asked[name], self._billed(outcome)))

    def _done(self, name: str, outcome: Produced | Exception) -> None:
        decision = self._left.pop(name)
        try:
            self._made(decision, outcome)
        except BaseException:
            self._left.clear()
            raise

    def _billed(self, result: TrainResult) -> dict[str, Any]:
        """Return what the bill says of how the unit was trained."""
        manner = self._manner
        if manner is None or self._size < 2:
            return {}
        speeds = {way: round(of.tokens_per_second, 1) for way, of in manner.speeds.items()}
        together: dict[str, Any] = {"adapters": self._size, "way": manner.way}
        together["reason"] = manner.reason
        if speeds:
            together["tokens_per_second"] = speeds
        if manner.way == "sequential":
            return {"together": together}
        # The meter's seconds are of all adapters in the step; so is what came before the first.
        own = result.seconds - result.earlier_seconds + self._prepared / self._size
        return {"together": together, "seconds": own}


def _asked(bench: Bench, decision: Decision) -> _Asked:
    """Return what a training is asked to learn."""
    job, document = decision.job, decision.document
    assert document is not None
    config, known = training_of(job, bench.project), frozenset[str]()
    start = _start(bench, job, document)
    if CONTINUED in document:
        config = bench.project.continuing_train_for(job.language)
        parent = bench.store.object(document[CONTINUED]["from"])
        start, known = Adapter.load(parent), read_record(parent).rows
    rows = _rows_to_learn(bench, job, document, known)
    lesson = Lesson(
        job.id,
        _examples(bench, job, rows, config),
        bench.project.adapter_for(job.language),
        config,
        seed=job.seed or 0,
        start=start,
        dev=_examples(bench, job, _dev_rows(bench, job, config), config),
        checkpoint_dir=bench.store.work(digest_of(document)),
    )
    learned = {row_digest(row) for chosen in rows.values() for row in chosen}
    return _Asked(lesson, known | learned)


def _start(bench: Bench, job: Job, document: Mapping[str, Any]) -> Adapter | None:
    """Return what a training starts from; None for what all of a seed share."""
    if ANCESTOR in document:
        return Adapter.load(bench.store.object(document[ANCESTOR]))
    if document.get("init") == SEPARATE:
        lora, language = bench.project.adapter_for(job.language), job.language or ""
        return separate_start(bench.training_base(), lora, job.seed or 0, language)
    return None


def _languages_of(bench: Bench, job: Job) -> list[str]:
    """Return the languages that a training uses, in an order that the project file does not make.

    The key does not hold that order, so it must not matter.
    """
    return sorted(bench.project.languages) if job.language is None else [job.language]


def _rows_to_learn(
    bench: Bench, job: Job, document: Mapping[str, Any], known: frozenset[str]
) -> dict[str, tuple[Row, ...]]:
    """Return the rows of every language that a training uses.

    Continuing the combined model leaves out languages that bring nothing new: that is what it
    saves.
    """
    rows = {code: bench.rows(job.task, code, "train") for code in _languages_of(bench, job)}
    seed = job.seed or 0
    if SHARE in document:
        return {code: share_of_rows(of, document[SHARE], seed) for code, of in rows.items()}
    if CONTINUED not in document:
        return rows
    chosen = {
        code: rows_to_learn(of, known, document[CONTINUED]["replay"], seed)
        for code, of in rows.items()
        if any(row_digest(row) not in known for row in of)
    }
    # Rows were only taken away: there is nothing new, so what is left is gone over again.
    return chosen or rows


def _dev_rows(bench: Bench, job: Job, config: TrainConfig) -> dict[str, tuple[Row, ...]]:
    """Return what a training's dev loss is measured on; nothing where it is not asked for."""
    return {
        code: bench.rows(job.task, code, "dev")
        for code in _languages_of(bench, job)
        if config.eval_steps and bench.project.has_dev(job.task, code)
    }


def _examples(
    bench: Bench, job: Job, rows: Mapping[str, tuple[Row, ...]], config: TrainConfig
) -> list[Example]:
    """Return rows as the model is to learn them."""
    encoder = Encoder(bench.training_base().tokenizer, config.max_length)
    return [
        example
        for code, of in rows.items()
        for example in training_set(bench.project, job.task, code, Split(of), encoder).examples
        if not example.cut_wholly
    ]


def _kept(bench: Bench, result: TrainResult, asked: _Asked, billed: Mapping[str, Any]) -> Produced:
    """Put a trained adapter into the store."""

    def build(folder: Path) -> None:
        result.adapter.save(folder)
        write_record(folder, TrainingRecord(result.losses, result.dev_losses, asked.rows))

    output = bench.store.put(build)
    rows = len(asked.lesson.examples)
    ledger = {
        "rows": rows,
        "tokens": result.tokens,
        "padded_tokens": result.padded_tokens,
        "supervised_tokens": result.supervised_tokens,
        "training_seconds": round(result.seconds, 3),
        "micro_batch_size": result.micro_batch_size,
        "flops": result.flops,
        **({"compile_seconds": round(result.compile_seconds, 3)} if result.compile_seconds else {}),
        **_utilization(result, bench.training_base()),
        **billed,
    }
    facts = {"rows": rows, "steps": result.steps}
    if result.best_step != result.steps:
        facts["best_step"] = result.best_step
    return Produced(output, facts, ledger)


def _utilization(result: TrainResult, base: BaseModel) -> dict[str, float]:
    """Return the share of what the device could do at best, on devices where that is known."""
    peak = peak_flops(base.device)
    if peak is None or not result.seconds:
        return {}
    return {"mfu": round(result.flops / result.seconds / peak, 4)}


def _note(taken: StepTaken) -> str:
    """Return a step in words: `loss 0.412, 160 tokens/s, 3.1 min left`."""
    parts = [f"loss {taken.loss:.3f}"]
    if taken.dev_loss is not None:
        parts.append(f"dev {taken.dev_loss:.3f}")
    if taken.tokens_per_second:
        parts.append(f"{taken.tokens_per_second:,.0f} tokens/s")
        parts.append(f"{time_text(taken.seconds_left)} left")
    return ", ".join(parts)
