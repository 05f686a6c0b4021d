"""Drives the training of an adapter over a resident base."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from langmerge.adapter import Adapter
from langmerge.encoding import Example
from langmerge.memory import is_out_of_memory, release_memory
from langmerge.model import BaseModel
from langmerge.quiet import quiet_transformers
from langmerge.train.batches import Batch
from langmerge.train.config import LoraSettings, TrainConfig
from langmerge.train.lesson import TrainResult
from langmerge.train.lora import attached, to_adapter
from langmerge.train.loss import backward_through_head
from langmerge.train.run import AdapterRun

OnStep = Callable[[int, int, float], None]
"""Called with the steps done, the steps in all, and the last step's mean loss in nats."""


def train_adapter(
    base: BaseModel,
    examples: Sequence[Example],
    lora: LoraSettings,
    config: TrainConfig,
    seed: int,
    *,
    start: Adapter | None = None,
    checkpoint_dir: Path | None = None,
    checkpoint_seconds: float = 30.0,
    on_step: OnStep | None = None,
) -> TrainResult:
    """Train a LoRA adapter on a frozen base.

    Killed and called again with the same arguments and `checkpoint_dir`, it goes on from the last
    checkpoint; on a CPU the result is the same bit for bit as without the interruption. Out of
    memory, it puts half as many examples through the model at once, and accumulates twice as often.

    Args:
        base: the base model; unchanged afterwards.
        examples: what to learn; the loss is taken on their completions.
        lora: the adapter's shape.
        config: how to train.
        seed: of initialization, order and dropout; nothing else is random.
        start: the adapter to continue, with a new optimizer; a new one by default.
        checkpoint_dir: where the run's state is kept; None keeps none. The caller removes it.
        checkpoint_seconds: time between checkpoints; 0 writes one after every step.
        on_step: is called after every step.

    Raises:
        DataError: if no example has anything to learn.
        AdapterError: if `lora` names modules the base lacks, or `start` does not fit it.
        UserError: if the loss or a gradient is not finite, or one example is too much for memory.
        StorageError: if a checkpoint cannot be written.
    """
    run = AdapterRun(base, examples, lora, config, seed, start=start)
    if checkpoint_dir is not None:
        run.restore(checkpoint_dir)
    saved = started = time.monotonic()
    with _training(base, config.gradient_checkpointing), attached(base, run.factors):
        while not run.done:
            loss = _step_within_memory(base, run)
            now = time.monotonic()
            run.progress.seconds += now - started
            started = now
            if checkpoint_dir is not None and now - saved >= checkpoint_seconds:
                run.save(checkpoint_dir)
                saved = time.monotonic()
            if on_step is not None:
                on_step(run.progress.step, run.steps, loss)
    progress = run.progress
    return TrainResult(
        adapter=to_adapter(base, run.factors),
        steps=progress.step,
        losses=tuple(progress.losses),
        tokens=progress.tokens,
        padded_tokens=progress.padded_tokens,
        supervised_tokens=progress.supervised_tokens,
        seconds=progress.seconds,
        micro_batch_size=run.micro_batch_size,
        best_step=progress.step,
    )


def _step_within_memory(base: BaseModel, run: AdapterRun) -> float:
    """Take a step as `_step` does, with smaller micro-batches from the first that is too large."""
    while True:
        try:
            return _step(base, run)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        run.halve_micro_batch()
        release_memory()


def _step(base: BaseModel, run: AdapterRun) -> float:
    """Take one optimizer step; return the mean loss over its supervised tokens, in nats."""
    batches = run.batches()
    weight = 1 / sum(len(batch.targets) for batch in batches)
    with _random_state(base.device, run.step_seed()):
        loss = sum(_backward(base, batch, weight) for batch in batches)
    run.update(batches, loss)
    return loss


def _backward(base: BaseModel, batch: Batch, weight: float) -> float:
    hidden = base.hidden_states(batch.input_ids)
    return backward_through_head(base, hidden.flatten(0, 1)[batch.positions], batch.targets, weight)


@contextmanager
def _training(base: BaseModel, gradient_checkpointing: bool) -> Iterator[None]:
    """Put the model in training mode inside the block, as dropout and checkpointing need it."""
    base.model.train()
    if gradient_checkpointing:
        with quiet_transformers():  # its newest versions prefer another name for this
            # Reentrant checkpointing loses gradients where the inputs themselves need none.
            base.model.gradient_checkpointing_enable({"use_reentrant": False})
    try:
        yield
    finally:
        if gradient_checkpointing:
            with quiet_transformers():
                base.model.gradient_checkpointing_disable()
        base.model.eval()


@contextmanager
def _random_state(device: torch.device, seed: int) -> Iterator[None]:
    """Seed torch inside the block only: a step's dropout depends on nothing before it."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
