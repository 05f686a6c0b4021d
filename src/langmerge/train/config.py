"""The `adapter` and `train` sections of `langmerge.yaml`: PEFT's and transformers' names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, field_validator, model_validator

from langmerge.settings import Settings

ALL_LINEAR = "all-linear"

NO_EFFECT = frozenset({"gradient_checkpointing", "grouping", "torch_compile"})
"""Training settings that change what training costs, and nothing about its result."""

_EARLY_STOPPING = frozenset({"eval_steps", "early_stopping_patience"})

Fraction = Annotated[float, Field(ge=0, lt=1)]


class LoraSettings(Settings):
    """Shape and scale of an adapter; the keys are those of PEFT's `LoraConfig`."""

    r: PositiveInt = 16
    """Rank of the factors."""
    lora_alpha: float = Field(default=32, gt=0)
    """The change is scaled by `lora_alpha / r`."""
    lora_dropout: Fraction = 0.0
    """Share of the inputs of A that is dropped while training."""
    target_modules: str | tuple[str, ...] = ALL_LINEAR
    """Names, a regular expression, or `all-linear` for every linear layer but the head."""
    rank_pattern: Mapping[str, PositiveInt] = {}
    """Ranks of modules that differ, by name."""
    alpha_pattern: Mapping[str, float] = {}
    """Alphas of modules that differ, by name."""
    use_rslora: bool = False
    """Scale by `lora_alpha / sqrt(r)` instead."""
    bias: Literal["none"] = "none"
    """Biases are never trained: they are no product of factors."""

    @field_validator("target_modules")
    @classmethod
    def _is_expression(cls, targets: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if isinstance(targets, str):
            try:
                re.compile(targets)
            except re.error as error:
                raise ValueError(
                    f"'{targets}' is not a regular expression ({error}); give one, a list of "
                    f"names, or {ALL_LINEAR}"
                ) from None
        return targets


class AdapterSettings(LoraSettings):
    """The `adapter` section: the shape of adapters, and what those of the languages start from.

    With `shared` all languages start from the same A, drawn by the seed, and B of zero; with
    `separate` each from an A of its own; with `ancestor` from one adapter that a short run on some
    rows of every language made, and what is merged is how far each has come from it.
    """

    init: Literal["shared", "separate", "ancestor"] = "shared"
    """What the languages' adapters start from: one A, an A each, or an ancestor."""


class TrainConfig(Settings):
    """How an adapter is trained; the keys are those of transformers' `TrainingArguments`."""

    learning_rate: float = Field(default=2e-4, gt=0)
    """The highest of the schedule."""
    num_train_epochs: float = Field(default=3, gt=0)
    """Passes over a language's rows."""
    max_steps: int = Field(default=-1, ge=-1, description="overrides num_train_epochs; -1 does not")
    per_device_train_batch_size: PositiveInt = 8
    """Rows that go through the model at once."""
    gradient_accumulation_steps: PositiveInt = 1
    """Batches that make one step."""
    lr_scheduler_type: Literal["cosine", "linear", "constant"] = "cosine"
    """How the learning rate falls to 0, or does not."""
    warmup_ratio: Fraction = 0.0
    """Share of the steps in which the learning rate rises."""
    warmup_steps: int = Field(default=0, ge=0, description="overrides warmup_ratio; 0 does not")
    weight_decay: float = Field(default=0.0, ge=0)
    """AdamW's."""
    max_grad_norm: float = Field(default=1.0, ge=0, description="0 clips nothing")
    adam_beta1: Fraction = 0.9
    """AdamW's decay of the mean."""
    adam_beta2: Fraction = 0.999
    """AdamW's decay of the variance."""
    adam_epsilon: float = Field(default=1e-8, gt=0)
    """AdamW's, against division by zero."""
    max_length: PositiveInt = Field(default=512, description="tokens of prompt and completion")
    gradient_checkpointing: bool | Literal["auto"] = Field(
        default="auto", description="auto: only where memory runs out without"
    )
    torch_compile: bool = Field(
        default=False, description="compile the layers: minutes at first, then faster steps"
    )
    eval_steps: int = Field(
        default=0, ge=0, description="measure the loss on dev after so many steps; 0 never does"
    )
    early_stopping_patience: int = Field(
        default=0,
        ge=0,
        description="stop when the dev loss has not fallen so many times, and keep the adapter of "
        "the lowest one; 0 never stops early",
    )
    grouping: Literal["auto", "probe", "grouped", "sequential"] = Field(
        default="auto",
        description="several adapters in one step, or one after the other; auto: on a GPU a few "
        "steps each way, then the faster; on a CPU one after the other",
    )
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", description="of the frozen base; auto: float32 on a CPU, bfloat16 on a GPU"
    )
    load_in_4bit: bool = Field(
        default=False, description="train over the base's weights in 4 bits, for less memory"
    )

    @model_validator(mode="after")
    def _some_steps(self) -> TrainConfig:
        if self.max_steps == 0:
            raise ValueError("max_steps is 0; give the number of steps, or -1 to count epochs")
        return self

    @model_validator(mode="after")
    def _stops_by_dev_loss(self) -> TrainConfig:
        if self.early_stopping_patience and not self.eval_steps:
            raise ValueError(
                "early_stopping_patience needs the dev loss; give eval_steps, the steps from one "
                "measurement to the next"
            )
        return self

    def effective(self) -> dict[str, Any]:
        """Return the settings that a training's result depends on, as JSON values."""
        # Options that are off are left out, so that what was trained before they came still counts.
        off = set() if self.early_stopping_patience else set(_EARLY_STOPPING)
        if not self.load_in_4bit:
            off.add("load_in_4bit")
        return self.model_dump(mode="json", exclude=set(NO_EFFECT | off))


class AncestorSettings(Settings):
    """How the adapter is trained that every language starts from (`adapter.init: ancestor`)."""

    share: float = Field(default=0.1, gt=0, le=1, description="of every language's training rows")
    train: Mapping[str, Any] = Field(default={}, description="training settings of that run")


class TrainSettings(TrainConfig):
    """The `train` section: how adapters are trained, and their ancestor."""

    ancestor: AncestorSettings = AncestorSettings()
    """The short run that all languages start from, with `adapter.init: ancestor`."""
