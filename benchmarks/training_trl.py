"""One adapter trained by us, with and without each lever, and by TRL's SFTTrainer."""

from __future__ import annotations

import functools
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

Row = dict[str, Any]

LEVERS = (
    "all",
    "padded instead of packed",
    "batches in random order",
    "logits at every position",
    "AdamW not fused",
)
"""Ours as it is, then with one thing changed."""

VARIANTS = ("padded", "padded by length", "padding-free")
"""TRL's settings; the best counts. Its loss computes logits in chunks by itself."""


def ours(base: Any, lesson: Any, lever: str) -> Row:
    """Train with one lever changed; return speed and final loss."""
    from langmerge.train.checkpoint import Writer
    from langmerge.train.rounds import Rounds

    with _without(lever), Writer() as writer:
        rounds = Rounds(base, writer, 1e9, None, None)
        if lever.startswith("padded"):
            rounds.kernel = None
        (run,) = rounds.begin([lesson])
        timings = rounds.go([run], "sequential", 0)
    result: Any = rounds.outcomes[lesson.name]
    return _row(lesson, sum(of.seconds for of in timings[1:]), result.losses) | {
        "padded_tokens": result.padded_tokens
    }


@contextmanager
def _without(lever: str) -> Iterator[None]:
    """Change one thing inside the block."""
    import torch

    from langmerge.train import batches, run, step

    if lever == "batches in random order":
        with patch.object(batches, "_LENGTH_JITTER", 1e9):
            yield
    elif lever == "AdamW not fused":
        plain = functools.partial(torch.optim.AdamW)

        def unfused(*arguments: Any, fused: bool, **options: Any) -> Any:
            return plain(*arguments, **options)

        with patch.object(run.torch.optim, "AdamW", unfused):
            yield
    elif lever == "logits at every position":
        with patch.object(step.Stepper, "_backward", _backward_through_all):
            yield
    else:
        yield


def _backward_through_all(stepper: Any, batch: Any, layout: Any, weights: Any) -> Any:
    from torch.nn.functional import cross_entropy

    from langmerge.train.packing import packed

    batch = batch.to(stepper._base.device)
    with packed(stepper._packing(batch)), stepper._acting.during(layout):
        hidden = stepper._base.hidden_states(batch.input_ids, position_ids=batch.position_ids)
        logits = stepper._base.logits(hidden.flatten(0, 1))[batch.positions]
        loss = cross_entropy(logits, batch.targets, reduction="sum") * weights[0]
        loss.backward()
    return loss.detach().double()[None]


def theirs(base: Any, lesson: Any, variant: str) -> Row:
    """Train by TRL with the same rows, batch, steps, schedule and adapter."""
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    class Clock(TrainerCallback):  # type: ignore[misc]
        def __init__(self) -> None:
            self.ends: list[float] = []

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.ends.append(time.perf_counter())

    config, on_cpu = lesson.config, base.device.type == "cpu"
    rows = Dataset.from_list(
        [
            {
                "input_ids": [*row.prompt_ids, *row.completion_ids],
                "completion_mask": [0] * len(row.prompt_ids) + [1] * len(row.completion_ids),
            }
            for row in lesson.examples
        ]
    )
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        settings = SFTConfig(
            folder,
            learning_rate=config.learning_rate,
            num_train_epochs=config.num_train_epochs,
            per_device_train_batch_size=config.per_device_train_batch_size,
            lr_scheduler_type=config.lr_scheduler_type,
            seed=lesson.seed,
            use_cpu=on_cpu,
            bf16=not on_cpu,
            gradient_checkpointing=False,
            train_sampling_strategy="group_by_length" if "length" in variant else "random",
            padding_free=variant == "padding-free",
            max_length=None,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        lora = LoraConfig(
            r=lesson.lora.r,
            lora_alpha=lesson.lora.lora_alpha,
            target_modules=lesson.lora.target_modules,
            task_type="CAUSAL_LM",
        )
        trainer = SFTTrainer(
            base.model,
            settings,
            train_dataset=rows,
            processing_class=base.tokenizer or _tokenizer(base.vocabulary_size),
            peft_config=lora,
            callbacks=[clock],
        )
        trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return _row(lesson, clock.ends[-1] - clock.ends[0], losses)


def _row(lesson: Any, seconds: float, losses: Any) -> Row:
    """Return a row of what was measured; the first step, which warms up, is left out."""
    tokens = sum(len(row.prompt_ids) + len(row.completion_ids) - 1 for row in lesson.examples)
    last = losses[-max(1, len(losses) // 4) :]
    return {
        "steps": len(losses),
        "tokens_per_second": round(tokens * (len(losses) - 1) / len(losses) / seconds, 1),
        "final_loss": round(sum(last) / len(last), 4),
    }


def _tokenizer(size: int) -> Any:
    """Return a tokenizer of as many words as a vocabulary has; TRL pads by it."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = {"<pad>": 0, "<eos>": 1} | {f"w{at}": at for at in range(2, size)}
    backend = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", eos_token="<eos>", unk_token="<pad>"
    )
