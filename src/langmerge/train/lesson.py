"""What one adapter is to learn, and what became of it: the values that training takes and gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from langmerge.adapter import Adapter
from langmerge.encoding import Example
from langmerge.errors import LangmergeError
from langmerge.train.config import LoraSettings, TrainConfig
from langmerge.train.record import DevLoss

Grouping = Literal["auto", "probe", "grouped", "sequential"]
"""How several adapters are to be trained; `train.grouping` of the project file."""

Way = Literal["grouped", "sequential"]
"""How they were: all in one step, or one after the other."""


@dataclass(frozen=True)
class Lesson:
    """What one adapter is to learn.

    Attributes:
        name: tells it from the others of a call.
        examples: what to learn; the loss is taken on their completions.
        lora: the adapter's shape.
        config: how to train.
        seed: of initialization, order and dropout; nothing else is random.
        start: the adapter to continue, with a new optimizer; a new one by default.
        dev: examples to measure the loss on, every `config.eval_steps` steps.
        checkpoint_dir: where the state is kept, a folder of its own; None keeps none. The caller
            removes it.
    """

    name: str
    examples: Sequence[Example]
    lora: LoraSettings
    config: TrainConfig
    seed: int
    start: Adapter | None = None
    dev: Sequence[Example] = ()
    checkpoint_dir: Path | None = None


@dataclass(frozen=True)
class TrainResult:
    """A trained adapter and what it took, over all processes that worked on it.

    Attributes:
        adapter: the adapter, fp32, in memory.
        steps: optimizer steps.
        losses: of each step: mean over its supervised tokens, in nats.
        tokens: that went through the model, without padding.
        padded_tokens: the same with padding.
        supervised_tokens: that the loss was taken on.
        seconds: wall-clock time; of a step taken together with others, this adapter's share by
            tokens, so that the seconds of a group add up to its time.
        earlier_seconds: of these, those of earlier processes.
        micro_batch_size: examples that went through the model at once, in the end.
        dev_losses: the dev loss over the steps; empty where it was not measured.
        best_step: the step whose state the adapter is in; `steps`, unless early stopping went back.
        flops: floating-point operations of the model, forward and backward, as counted by
            `langmerge.train.flops`; what is computed twice to save memory counts once.
        compile_seconds: of `seconds`, those that went into compiling (`train.torch_compile`).
    """

    adapter: Adapter
    steps: int
    losses: tuple[float, ...]
    tokens: int
    padded_tokens: int
    supervised_tokens: int
    seconds: float
    earlier_seconds: float
    micro_batch_size: int
    dev_losses: tuple[DevLoss, ...] = ()
    best_step: int = 0
    flops: float = 0.0
    compile_seconds: float = 0.0


Outcome = TrainResult | LangmergeError
"""What became of a lesson: an adapter, or the error that stopped it alone."""


@dataclass(frozen=True)
class StepTaken:
    """A step of one adapter, as it is told.

    Attributes:
        name: the lesson's.
        step: how many steps it has taken.
        steps: how many it takes in all, if it does not stop early.
        loss: the step's mean loss, in nats per supervised token.
        tokens_per_second: of this adapter, over its last steps; without padding.
        seconds_left: until it is done at this speed.
        dev_loss: measured after this step; None where it was not.
    """

    name: str
    step: int
    steps: int
    loss: float
    tokens_per_second: float
    seconds_left: float
    dev_loss: float | None = None


@dataclass(frozen=True)
class Speed:
    """What a way of training was measured to take.

    Attributes:
        seconds_per_step: for one step of every adapter.
        tokens_per_second: of all adapters together, without padding.
    """

    seconds_per_step: float
    tokens_per_second: float


@dataclass(frozen=True)
class Manner:
    """How lessons are trained.

    Attributes:
        way: all in one step, or one after the other.
        reason: why so, in a few words.
        speeds: of each way that was measured, from the probe's steps.
    """

    way: Way
    reason: str
    speeds: Mapping[Way, Speed]


@dataclass(frozen=True)
class Trainings:
    """What became of several lessons.

    Attributes:
        outcomes: by name.
        manner: how they were trained.
        seconds: wall-clock time of this call; `TrainResult.seconds` counts earlier ones too.
    """

    outcomes: Mapping[str, Outcome]
    manner: Manner
    seconds: float
