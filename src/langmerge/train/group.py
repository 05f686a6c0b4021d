"""Trains adapters over one resident base: all in one step, or one after the other.

Each adapter becomes what it becomes alone. Which way is faster depends on the device and on the
rows: where a step is too small to keep the device busy, one step for all costs hardly more than
one for one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from langmerge.adapter import Adapter
from langmerge.encoding import Example
from langmerge.errors import LangmergeError
from langmerge.model import BaseModel
from langmerge.train.checkpoint import Writer, positions
from langmerge.train.config import LoraSettings, TrainConfig
from langmerge.train.lesson import (
    Grouping,
    Lesson,
    Manner,
    Speed,
    StepTaken,
    Trainings,
    TrainResult,
    Way,
)
from langmerge.train.rounds import OnDone, OnStep, Rounds, Timing, refuse_apart, resume_together
from langmerge.train.run import AdapterRun

_PROBE_STEPS = 3
"""Steps measured of each way, after one to warm up; they count as training."""


def train_adapters(
    base: BaseModel,
    lessons: Sequence[Lesson],
    *,
    grouping: Grouping = "auto",
    checkpoint_seconds: float = 30.0,
    on_step: OnStep | None = None,
    on_done: OnDone | None = None,
    on_manner: Callable[[Manner], None] | None = None,
) -> Trainings:
    """Train LoRA adapters on a frozen base: in one step all of them, or one after the other.

    Each adapter becomes what it becomes alone, up to the order of rounding. One that fails, by
    data, shape or divergence, leaves the others alone. Killed and called again with the same
    lessons, less those that were done, the others go on from their last checkpoints; on a CPU, bit
    for bit as without the interruption. Out of memory, less goes through the model at once.

    Args:
        base: the base model; unchanged afterwards.
        lessons: what to learn, with names that differ.
        grouping: how; see `TrainConfig.grouping`. An interrupted call goes on as it began.
        checkpoint_seconds: time between checkpoints; 0 writes one after every step.
        on_step: is called after every step of every adapter.
        on_done: is called as soon as an adapter is trained, or has failed: with its name and the
            result or the error.
        on_manner: is called once it is decided how; adapters may be done before that.

    Raises:
        StorageError: if a checkpoint cannot be written.
        BaseModelError: if the base cannot compute.
        UserError: if several processes go on from different checkpoints.
    """
    started = time.monotonic()
    with Writer() as writer:
        rounds = Rounds(base, writer, checkpoint_seconds, on_step, on_done)
        way, reason = rounds.team.agreed(_way(base, lessons, grouping))
        if way == "sequential":
            manner = _told(Manner(way, reason, {}), on_manner)
            for lesson in lessons:  # only one is in memory at a time
                one = rounds.begin([lesson])
                at = resume_together(one)
                refuse_apart(rounds.team, one, base.device)
                rounds.go(one, way, at)
        else:
            runs = rounds.begin(lessons)
            at = resume_together(runs)
            refuse_apart(rounds.team, runs, base.device)
            speeds = rounds.team.agreed(_probe(rounds, runs)) if way is None else {}
            manner = _told(Manner(way or _faster(speeds), reason, speeds), on_manner)
            for together in [runs] if manner.way == "grouped" else [[run] for run in runs]:
                rounds.go(together, manner.way, at)
    outcomes = {lesson.name: rounds.outcomes[lesson.name] for lesson in lessons}
    return Trainings(outcomes, manner, time.monotonic() - started)


def train_adapter(
    base: BaseModel,
    examples: Sequence[Example],
    lora: LoraSettings,
    config: TrainConfig,
    seed: int,
    *,
    start: Adapter | None = None,
    dev: Sequence[Example] = (),
    checkpoint_dir: Path | None = None,
    checkpoint_seconds: float = 30.0,
    on_step: Callable[[int, int, float], None] | None = None,
) -> TrainResult:
    """Train one adapter, as `train_adapters` does; the arguments are those of `Lesson`.

    Args:
        base: the base model; unchanged afterwards.
        examples: what to learn.
        lora: the adapter's shape.
        config: how to train.
        seed: of initialization, order and dropout.
        start: the adapter to continue.
        dev: examples to measure the loss on.
        checkpoint_dir: where the state is kept.
        checkpoint_seconds: time between checkpoints; 0 writes one after every step.
        on_step: is called after every step with the steps done, the steps in all, and the loss.

    Raises:
        DataError: if no example has anything to learn.
        AdapterError: if `lora` names modules the base lacks, or `start` does not fit it.
        UserError: if the loss or a gradient is not finite, or one example is too much for memory.
        StorageError: if a checkpoint cannot be written.
    """

    def tell(taken: StepTaken) -> None:
        if on_step is not None:
            on_step(taken.step, taken.steps, taken.loss)

    lesson = Lesson("", examples, lora, config, seed, start, dev, checkpoint_dir)
    trainings = train_adapters(
        base,
        [lesson],
        grouping="sequential",
        checkpoint_seconds=checkpoint_seconds,
        on_step=tell,
    )
    outcome = trainings.outcomes[lesson.name]
    if isinstance(outcome, LangmergeError):
        raise outcome
    return outcome


def _way(base: BaseModel, lessons: Sequence[Lesson], grouping: Grouping) -> tuple[Way | None, str]:
    """Return how to train, None to try it out, and the reason."""
    if grouping in ("grouped", "sequential"):
        return grouping, "as asked"
    folders = (lesson.checkpoint_dir for lesson in lessons)
    begun = [way for of in folders if of for _, way in positions(of).values() if way is not None]
    if begun:
        return begun[0], "as before the interruption"
    if len(lessons) < 2:
        return "sequential", "one adapter"
    if grouping == "auto" and base.device.type == "cpu":
        return "sequential", "on a CPU, for the same bytes whatever trains beside"
    return None, "the faster of a few steps each way"


def _told(manner: Manner, on_manner: Callable[[Manner], None] | None) -> Manner:
    if on_manner is not None:
        on_manner(manner)
    return manner


def _probe(rounds: Rounds, runs: Sequence[AdapterRun]) -> dict[Way, Speed]:
    """Take a few steps each way; return what each takes. They count as training."""
    alone = [rounds.go([run], None, 0, limit=1 + _PROBE_STEPS) for run in runs if not run.done]
    left = [run for run in runs if not run.done]
    together = rounds.go(left, None, 0, limit=1 + _PROBE_STEPS)
    return {"sequential": _speed(alone), "grouped": _speed([together])}


def _faster(speeds: Mapping[Way, Speed]) -> Way:
    alone, together = speeds["sequential"], speeds["grouped"]
    return "grouped" if together.tokens_per_second >= alone.tokens_per_second else "sequential"


def _speed(measured: Sequence[Sequence[Timing]]) -> Speed:
    """Return the speed of several stretches of rounds one after the other, but for their first."""
    stretches = [stretch[1:] or stretch for stretch in measured if stretch]
    seconds = sum(sum(of.seconds for of in stretch) / len(stretch) for stretch in stretches)
    tokens = sum(sum(of.tokens for of in stretch) / len(stretch) for stretch in stretches)
    return Speed(seconds, tokens / seconds if seconds else 0.0)
