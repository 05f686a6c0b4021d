"""The training of one adapter as a value: what it has learned, and where it stands.

A loop asks it for a step's batches, runs the model, and tells it to update; several of these can
so be driven over one resident base. All that randomness decides is a function of the seed and the
step, so that factors, optimizer and step are the whole state.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from langmerge.adapter import Adapter
from langmerge.canonical import canonical_json, digest_of
from langmerge.encoding import Example
from langmerge.errors import DataError, StorageError, UserError
from langmerge.files import writing
from langmerge.model import BaseModel
from langmerge.tensors import bytes_of
from langmerge.train.batches import Batch, Sampler, collate
from langmerge.train.config import LoraSettings, TrainConfig
from langmerge.train.lora import TrainableFactors, continued_factors, initial_factors
from langmerge.train.schedule import learning_rate, total_steps

CHECKPOINT_NAME = "checkpoint.safetensors"


@dataclass
class Progress:
    """How far a run is.

    Attributes:
        step: how many steps are done.
        tokens: how many tokens went through the model, without padding.
        padded_tokens: the same with padding.
        supervised_tokens: how many tokens the loss was taken on.
        seconds: wall-clock time, over all processes that worked on it.
        losses: the mean loss per supervised token of every step, in nats.
    """

    step: int = 0
    tokens: int = 0
    padded_tokens: int = 0
    supervised_tokens: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)


class AdapterRun:
    """One adapter in training.

    Args:
        base: the base model the factors are made for; kept only by its device.
        examples: what to learn; those without anything supervised are left out.
        lora: the adapter's shape.
        config: how to train.
        seed: of initialization, order and dropout.
        start: the adapter to continue; a new one by default.

    Attributes:
        micro_batch_size: examples that go through the model at once.

    Raises:
        DataError: if no example has anything to learn.
        AdapterError: if `lora` names modules the base lacks, or `start` does not fit it.
    """

    def __init__(
        self,
        base: BaseModel,
        examples: Sequence[Example],
        lora: LoraSettings,
        config: TrainConfig,
        seed: int,
        *,
        start: Adapter | None = None,
    ) -> None:
        self.examples = [example for example in examples if _teaches(example)]
        if not self.examples:
            raise DataError(
                f"nothing to train on: {len(examples)} examples, none with a completion left "
                f"within max_length ({config.max_length}); raise train.max_length or shorten "
                f"the prompts"
            )
        self.config = config
        self.seed = seed
        self.progress = Progress()
        self.factors: dict[str, TrainableFactors] = (
            initial_factors(base, lora, seed)
            if start is None
            else continued_factors(base, lora, start)
        )
        self.micro_batch_size = config.per_device_train_batch_size
        self._device = base.device
        self._sampler = Sampler(
            [len(example.prompt_ids) + len(example.completion_ids) for example in self.examples],
            config.per_device_train_batch_size * config.gradient_accumulation_steps,
            seed,
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
        self._settings = {
            "base": base.resolved.identity(),
            "lora": lora.model_dump(mode="json"),
            "train": config.model_dump(mode="json"),
            "seed": seed,
            "start": start.digest if start is not None else None,
        }

    @property
    def done(self) -> bool:
        """Whether all steps are taken."""
        return self.progress.step >= self.steps

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step."""
        return learning_rate(self.config, self.progress.step, self.steps)

    def batches(self) -> list[Batch]:
        """Return the next step's batches; their gradients are added up."""
        indices = self._sampler.batch(self.progress.step)
        size = self.micro_batch_size
        return [
            collate([self.examples[i] for i in indices[start : start + size]]).to(self._device)
            for start in range(0, len(indices), size)
        ]

    def halve_micro_batch(self) -> None:
        """Put half as many examples through the model at once; a step stays the same in all.

        Raises:
            UserError: if one example alone is too many.
        """
        self._optimizer.zero_grad()
        if self.micro_batch_size == 1:
            raise UserError(
                f"out of memory at step {self.progress.step + 1} of {self.steps}, with one example "
                "at a time; lower train.max_length or adapter.r, or set "
                "train.gradient_checkpointing: true"
            )
        self.micro_batch_size = math.ceil(self.micro_batch_size / 2)

    def step_seed(self) -> int:
        """Return the seed of the next step's dropout."""
        return int(digest_of([self.seed, self.progress.step])[:15], 16)

    def update(self, batches: Sequence[Batch], loss: float) -> None:
        """Take an optimizer step with the gradients of `batches`, and clear them.

        Raises:
            UserError: if the loss or the gradient is not finite.
        """
        limit = self.config.max_grad_norm or math.inf
        norm = float(torch.nn.utils.clip_grad_norm_(self._parameters.values(), limit))
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise UserError(
                f"training diverged at step {self.progress.step + 1} of {self.steps}: the loss is "
                f"{loss:.4g}, the gradient's norm {norm:.4g}; lower train.learning_rate (now "
                f"{self.config.learning_rate:g}) or lengthen the warm-up"
            )
        self._optimizer.param_groups[0]["lr"] = self.learning_rate
        self._optimizer.step()
        self._optimizer.zero_grad()
        self.progress.step += 1
        self.progress.losses.append(loss)
        for batch in batches:
            self.progress.tokens += batch.tokens
            self.progress.padded_tokens += batch.input_ids.numel()
            self.progress.supervised_tokens += len(batch.targets)

    def save(self, folder: Path) -> None:
        """Write the whole state to one file in `folder`, replacing an earlier one atomically.

        Raises:
            StorageError: if the folder cannot be written.
        """
        tensors = {name: tensor.detach().cpu() for name, tensor in self._parameters.items()}
        for name, parameter in self._parameters.items():
            moments: dict[str, Tensor] = self._optimizer.state.get(parameter, {})
            tensors |= {f"{name}.{key}": value.cpu() for key, value in moments.items()}
        metadata = {
            "identity": self._identity,
            "progress": canonical_json(asdict(self.progress)),
        }
        metadata["digest"] = _digest_of_state(metadata, tensors)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=folder, prefix=".checkpoint-")
            os.close(handle)
            try:
                save_file(tensors, temporary, metadata=metadata)
                Path(temporary).replace(folder / CHECKPOINT_NAME)
            finally:
                Path(temporary).unlink(missing_ok=True)
        except (OSError, SafetensorError) as error:
            with writing(folder):  # says the fix, where there is one
                raise StorageError(f"{folder}: a checkpoint cannot be written ({error})") from error

    def restore(self, folder: Path) -> bool:
        """Continue from the checkpoint in `folder`, if it is of this very run.

        Returns:
            Whether it was: no checkpoint, another run's or a damaged one changes nothing.
        """
        try:
            with safe_open(folder / CHECKPOINT_NAME, framework="pt") as file:
                metadata = file.metadata()
                if metadata.get("identity") != self._identity:
                    return False
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError):
            return False
        # safetensors checks its header only. Older versions wrote no digest.
        if metadata.pop("digest", None) not in (None, _digest_of_state(metadata, tensors)):
            return False
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                parameter.copy_(tensors[name])
        moments = {
            index: {key: tensors[f"{name}.{key}"] for key in ("step", "exp_avg", "exp_avg_sq")}
            for index, name in enumerate(self._parameters)
            if f"{name}.step" in tensors  # a module that no token has reached has none yet
        }
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": moments, "param_groups": groups})
        self.progress = Progress(**json.loads(metadata["progress"]))
        return True

    @cached_property
    def _identity(self) -> str:
        """What a checkpoint must agree on to be continued."""
        examples = hashlib.sha256()
        for example in self.examples:
            for ids in (example.prompt_ids, example.completion_ids):
                examples.update(array("q", [len(ids), *ids]).tobytes())
        return digest_of({**self._settings, "examples": examples.hexdigest()})


def _digest_of_state(metadata: Mapping[str, str], tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(canonical_json(metadata).encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}".encode())
        digest.update(bytes_of(tensors[name]))
    return digest.hexdigest()


def _teaches(example: Example) -> bool:
    return bool(example.completion_ids) and len(example.prompt_ids + example.completion_ids) > 1
