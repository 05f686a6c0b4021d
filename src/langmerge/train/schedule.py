"""Learning rate by step: transformers' schedules as pure functions."""

from __future__ import annotations

import math

from langmerge.train.config import TrainConfig


def total_steps(config: TrainConfig, steps_per_epoch: int) -> int:
    """Return how many optimizer steps a run takes; at least 1."""
    if config.max_steps > 0:
        return config.max_steps
    return max(1, math.ceil(config.num_train_epochs * steps_per_epoch))


def learning_rate(config: TrainConfig, step: int, steps: int) -> float:
    """Return the learning rate of a step.

    Args:
        config: names the schedule: constant, linear or cosine, each after a linear warm-up.
        step: counted from 0.
        steps: of the whole run.
    """
    warmup = config.warmup_steps or math.ceil(config.warmup_ratio * steps)
    if step < warmup:
        return config.learning_rate * step / warmup
    done = (step - warmup) / max(1, steps - warmup)
    factor = {
        "constant": 1.0,
        "linear": 1.0 - done,
        "cosine": 0.5 * (1.0 + math.cos(math.pi * done)),
    }[config.lr_scheduler_type]
    return config.learning_rate * factor
