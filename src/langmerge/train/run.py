"""The training of one adapter as a value: what it has learned, and where it stands.

A loop asks it for a step's batches, runs the model, and tells it to update; several of these can
so be driven over one resident base. All that randomness decides is a function of the seed and the
step, so that factors, optimizer and step are the whole state.
"""

from __future__ import annotations

import hashlib
import math
from array import array
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from langmerge.canonical import digest_of
from langmerge.encoding import Example
from langmerge.errors import DataError, UserError
from langmerge.model import BaseModel
from langmerge.train.batches import Part, Sampler
from langmerge.train.checkpoint import Position, Snapshot, Writer, copied
from langmerge.train.lesson import Lesson, TrainResult
from langmerge.train.lora import TrainableFactors, continued_factors, initial_factors, to_adapter
from langmerge.train.record import DevLoss
from langmerge.train.schedule import learning_rate, total_steps

_BEST = "best."


@dataclass
class Progress:
    """How far a run is.

    Attributes:
        step: how many steps are done.
        tokens: how many tokens went through the model, without padding.
        padded_tokens: the same with padding.
        supervised_tokens: how many tokens the loss was taken on.
        seconds: as `TrainResult.seconds`.
        compile_seconds: of these, as `TrainResult.compile_seconds`.
        micro_batch_size: examples that go through the model at once.
        losses: the mean loss per supervised token of every step, in nats.
        dev_losses: steps, and the mean loss on the dev examples after them.
    """

    step: int = 0
    tokens: int = 0
    padded_tokens: int = 0
    supervised_tokens: int = 0
    seconds: float = 0.0
    compile_seconds: float = 0.0
    micro_batch_size: int = 0
    losses: list[float] = field(default_factory=list)
    dev_losses: list[tuple[int, float]] = field(default_factory=list)


class AdapterRun:
    """One adapter in training.

    Args:
        base: the base model the factors are made for; kept only by its device.
        lesson: what to learn; examples without anything supervised are left out.

    Raises:
        DataError: if no example has anything to learn.
        AdapterError: if the lesson names modules the base lacks, or its start does not fit.
    """

    def __init__(self, base: BaseModel, lesson: Lesson) -> None:
        config = lesson.config
        self.lesson, self.config = lesson, config
        self.examples = [example for example in lesson.examples if _teaches(example)]
        self.dev = [example for example in lesson.dev if _teaches(example)]
        if not self.examples:
            raise DataError(
                f"nothing to train on: {len(lesson.examples)} examples, none with a completion "
                f"left within max_length ({config.max_length}); raise train.max_length or shorten "
                f"the prompts"
            )
        self.progress = Progress(micro_batch_size=config.per_device_train_batch_size)
        self.factors: dict[str, TrainableFactors] = (
            initial_factors(base, lesson.lora, lesson.seed)
            if lesson.start is None
            else continued_factors(base, lesson.lora, lesson.start)
        )
        self._sampler = Sampler(
            [example.length for example in self.examples],
            config.per_device_train_batch_size * config.gradient_accumulation_steps,
            lesson.seed,
        )
        self.steps = total_steps(config, self._sampler.steps_per_epoch)
        self._parameters = {
            f"{name}.{part}": tensor
            for name, factors in self.factors.items()
            for part, tensor in (("a", factors.a), ("b", factors.b))
        }
        self._optimizer = torch.optim.AdamW(
            self._parameters.values(),
            lr=config.learning_rate,
            betas=(config.adam_beta1, config.adam_beta2),
            eps=config.adam_epsilon,
            weight_decay=config.weight_decay,
            fused=True,
        )
        self._best: dict[str, Tensor] = {}
        self._earlier_seconds = 0.0
        self._base_identity = base.resolved.identity()

    @property
    def done(self) -> bool:
        """Whether all steps are taken, or the dev loss has not fallen for too long."""
        return self.progress.step >= self.steps or self._is_stopped

    @property
    def _is_stopped(self) -> bool:
        patience = self.config.early_stopping_patience
        if not patience or not self.progress.dev_losses:
            return False
        measured = [step for step, _ in self.progress.dev_losses]
        return len(measured) - 1 - measured.index(self.best_step) >= patience

    @property
    def best_step(self) -> int:
        """The step with the lowest dev loss, the first of several; where none counts, the last."""
        if not (self.config.early_stopping_patience and self.progress.dev_losses):
            return self.progress.step
        return min(self.progress.dev_losses, key=lambda measured: measured[1])[0]

    @property
    def drops(self) -> bool:
        """Whether the adapter drops inputs."""
        return self.lesson.lora.lora_dropout > 0

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step."""
        return learning_rate(self.config, self.progress.step, self.steps)

    @property
    def wants_dev_loss(self) -> bool:
        """Whether the dev loss is to be measured now."""
        every, step = self.config.eval_steps, self.progress.step
        return bool(every and self.dev) and (step % every == 0 or step == self.steps)

    def micro_batches(self) -> list[list[Example]]:
        """Return the next step's examples as they go through the model; gradients are added up."""
        indices = self._sampler.batch(self.progress.step)
        size = self.progress.micro_batch_size
        return [
            [self.examples[i] for i in indices[start : start + size]]
            for start in range(0, len(indices), size)
        ]

    def longest_of_step(self) -> int:
        """Return the length of the next step's longest example."""
        step = [example for batch in self.micro_batches() for example in batch]
        return max(example.length for example in step)

    def halve_micro_batch(self) -> bool:
        """Put half as many examples through the model at once, if it is more than one."""
        before = self.progress.micro_batch_size
        self.progress.micro_batch_size = math.ceil(before / 2)
        return before > 1

    def too_large(self) -> UserError:
        """Return the error that one example alone is too many."""
        advice = (
            "" if self.config.gradient_checkpointing else ", or set train.gradient_checkpointing"
        )
        return UserError(
            f"out of memory at step {self.progress.step + 1} of {self.steps}, with one example "
            f"at a time; lower train.max_length or adapter.r{advice}"
        )

    def step_seed(self, turn: int | None = None) -> int:
        """Return the seed of what the next step drops; or of one of its micro-batches."""
        parts = [self.lesson.seed, self.progress.step, *([] if turn is None else [turn])]
        return int(digest_of(parts)[:15], 16)

    @property
    def parameters(self) -> list[Tensor]:
        """What is trained, in an order that is always the same."""
        return list(self._parameters.values())

    def clear_gradients(self) -> None:
        """Forget the gradients."""
        self._optimizer.zero_grad()

    def clip(self) -> Tensor:
        """Clip the gradient; return its norm before, on the device."""
        limit = self.config.max_grad_norm or math.inf
        return torch.nn.utils.clip_grad_norm_(self._parameters.values(), limit)

    def update(self, loss: float, norm: float, part: Part) -> None:
        """Take an optimizer step with the gradients, and clear them.

        Args:
            loss: the step's.
            norm: of the gradient before it was clipped.
            part: what went through the model.

        Raises:
            UserError: if the loss or the gradient is not finite.
        """
        if not (math.isfinite(loss) and math.isfinite(norm)):
            self.clear_gradients()
            raise self._diverged(f"the loss is {loss:.4g}, the gradient's norm {norm:.4g}", 1)
        self._optimizer.param_groups[0]["lr"] = self.learning_rate
        self._optimizer.step()
        self.clear_gradients()
        self.progress.step += 1
        self.progress.losses.append(loss)
        self.progress.tokens += part.tokens
        self.progress.padded_tokens += part.padded
        self.progress.supervised_tokens += part.supervised

    def _diverged(self, what: str, ahead: int = 0) -> UserError:
        """Return the error of a training that came to nothing at a step."""
        return UserError(
            f"training diverged at step {self.progress.step + ahead} of {self.steps}: {what}; "
            f"lower train.learning_rate (now {self.config.learning_rate:g}) or lengthen the warm-up"
        )

    def measured(self, dev_loss: float) -> None:
        """Take note of the dev loss after the last step.

        Raises:
            UserError: if it is not finite.
        """
        if not math.isfinite(dev_loss):
            raise self._diverged(f"the dev loss is {dev_loss:.4g}")
        self.progress.dev_losses.append((self.progress.step, dev_loss))
        if self.config.early_stopping_patience and self.best_step == self.progress.step:
            self._best = {name: copied(tensor) for name, tensor in self._parameters.items()}

    def result(self, base: BaseModel, flops: float) -> TrainResult:
        """Return the trained adapter; with early stopping, as it was at the lowest dev loss."""
        best = self.best_step
        if best != self.progress.step:
            self._fill(self._best)
        progress = self.progress
        return TrainResult(
            adapter=to_adapter(base, self.factors),
            steps=progress.step,
            losses=tuple(progress.losses),
            tokens=progress.tokens,
            padded_tokens=progress.padded_tokens,
            supervised_tokens=progress.supervised_tokens,
            seconds=progress.seconds,
            earlier_seconds=self._earlier_seconds,
            compile_seconds=progress.compile_seconds,
            micro_batch_size=progress.micro_batch_size,
            dev_losses=tuple(DevLoss(step, loss) for step, loss in progress.dev_losses),
            best_step=best,
            flops=flops,
        )

    def save(
        self, writer: Writer, folder: Path, position: Position, *, keep_earlier: bool = False
    ) -> None:
        """Have the whole state written to one file in `folder`, as it is now."""
        tensors = {name: copied(tensor) for name, tensor in self._parameters.items()}
        for name, parameter in self._parameters.items():
            moments: dict[str, Tensor] = self._optimizer.state.get(parameter, {})
            tensors |= {f"{name}.{key}": copied(value) for key, value in moments.items()}
        tensors |= {f"{_BEST}{name}": tensor for name, tensor in self._best.items()}
        snapshot = Snapshot(self.identity, position, asdict(self.progress), tensors)
        writer.write(folder, snapshot, keep_earlier=keep_earlier)

    def resume(self, snapshot: Snapshot) -> None:
        """Take the state of a snapshot of this very run."""
        tensors = snapshot.tensors
        self._fill(tensors)
        moments = {
            index: {key: tensors[f"{name}.{key}"] for key in ("step", "exp_avg", "exp_avg_sq")}
            for index, name in enumerate(self._parameters)
            if f"{name}.step" in tensors  # a module that no token has reached has none yet
        }
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": moments, "param_groups": groups})
        self._best = {
            name: tensors[_BEST + name] for name in self._parameters if _BEST + name in tensors
        }
        self.progress = Progress(**snapshot.progress)
        self._earlier_seconds = self.progress.seconds
        self.progress.dev_losses = [(step, loss) for step, loss in self.progress.dev_losses]

    def _fill(self, tensors: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                parameter.copy_(tensors[name])

    @cached_property
    def identity(self) -> str:
        """What a checkpoint must agree on to be continued."""
        examples = hashlib.sha256()
        for example in (*self.examples, *self.dev):
            for ids in (example.prompt_ids, example.completion_ids):
                examples.update(array("q", [len(ids), *ids]).tobytes())
        start = self.lesson.start
        return digest_of(
            {
                "base": self._base_identity,
                "lora": self.lesson.lora.model_dump(mode="json"),
                "train": self.config.effective(),
                "seed": self.lesson.seed,
                "start": start.digest if start is not None else None,
                "examples": examples.hexdigest(),
            }
        )


def _teaches(example: Example) -> bool:
    return bool(example.completion_ids) and len(example.prompt_ids + example.completion_ids) > 1
