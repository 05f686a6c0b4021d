"""Trains several adapters over one resident base."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from langmerge.errors import BaseModelError, LangmergeError, StorageError
from langmerge.model import BaseModel
from langmerge.train.lesson import Grouping, Lesson, StepTaken, Trainings, TrainResult
from langmerge.train.loop import train_adapter

Outcome = TrainResult | LangmergeError

__all__ = ["train_adapter", "train_adapters"]


def train_adapters(
    base: BaseModel,
    lessons: Sequence[Lesson],
    *,
    grouping: Grouping = "auto",
    checkpoint_seconds: float = 30.0,
    on_step: Callable[[StepTaken], None] | None = None,
    on_done: Callable[[str, Outcome], None] | None = None,
) -> Trainings:
    """Train LoRA adapters on a frozen base: in one step all of them, or one after the other.

    Each adapter becomes what it becomes alone, up to the order of rounding. One that fails, by
    data, shape or divergence, leaves the others alone. Killed and called again with the same
    lessons, those not yet done go on from their last checkpoints; on a CPU, bit for bit as without
    the interruption. Out of memory, less goes through the model at once.

    Args:
        base: the base model; unchanged afterwards.
        lessons: what to learn, with names that differ.
        grouping: how; see `TrainConfig.grouping`.
        checkpoint_seconds: time between checkpoints; 0 writes one after every step.
        on_step: is called after every step of every adapter.
        on_done: is called as soon as an adapter is trained, or has failed: with its name and the
            result or the error.

    Raises:
        StorageError: if a checkpoint cannot be written.
        BaseModelError: if the base cannot compute.
    """
    started = time.monotonic()
    outcomes: dict[str, Outcome] = {}
    for lesson in lessons:
        outcome: Outcome
        try:
            outcome = _alone(base, lesson, checkpoint_seconds, on_step)
        except (StorageError, BaseModelError):
            raise
        except LangmergeError as error:
            outcome = error
        outcomes[lesson.name] = outcome
        if on_done is not None:
            on_done(lesson.name, outcome)
    return Trainings(outcomes, "sequential", "as asked", {}, time.monotonic() - started)


def _alone(
    base: BaseModel,
    lesson: Lesson,
    checkpoint_seconds: float,
    on_step: Callable[[StepTaken], None] | None,
) -> TrainResult:
    def tell(step: int, steps: int, loss: float) -> None:
        if on_step is not None:
            on_step(StepTaken(lesson.name, step, steps, loss, 0.0, 0.0))

    return train_adapter(
        base,
        lesson.examples,
        lesson.lora,
        lesson.config,
        lesson.seed,
        start=lesson.start,
        checkpoint_dir=lesson.checkpoint_dir,
        checkpoint_seconds=checkpoint_seconds,
        on_step=tell,
    )
