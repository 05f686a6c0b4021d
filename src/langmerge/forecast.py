"""How long training and upkeep will take on a device, before there is a run to go by.

A training step costs what its operations cost, but no less than the device's floor: the time in
which a processor launches a step's kernels, however little they have to do.

    step(tokens) = max(floor per layer * layers, tokens * 4 * parameters / rate)

Four operations a parameter and token: two forward, two backward for the activations; frozen
weights have no gradient. `benchmarks/training.py` and `docs/how-long.md` hold this against measured
runs. A project that has run knows better: `langmerge plan` estimates from its own ledger.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from langmerge.errors import UserError, did_you_mean

_TRAINING = 4
_FORWARD = 2
_FORWARD_SHARE_OF_FLOOR = 1 / 3
_BATCH_TOKENS = 2048
"""Tokens that evaluation holds at once: the default of `evaluate.batch_tokens`."""


@dataclass(frozen=True)
class Device:
    """What a kind of device was measured to do.

    Attributes:
        floor: seconds that a training step takes at least, for each layer of the model.
        rate: floating-point operations a second that training reaches.
        loading: bytes a second at which weights are loaded, 2 bytes a parameter.
        merging: seconds to merge five adapters of rank 64, for a billion parameters of the model.
    """

    floor: float
    rate: float
    loading: float
    merging: float


DEVICES: Mapping[str, Device] = {
    # A prototype's steps on one H100 80 GB, bf16, eager: the table of docs/how-long.md.
    "h100": Device(floor=6.5e-3, rate=325e12, loading=2e9, merging=2.5),
    # Two cores of a Xeon with AVX-512, fp32: benchmarks/results/training.json.
    "cpu": Device(floor=1.5e-3, rate=170e9, loading=0.3e9, merging=16.0),
}


@dataclass(frozen=True)
class Workload:
    """What is to be trained.

    Attributes:
        languages: how many.
        rows: training rows of a language.
        tokens: of a row, prompt and completion.
        parameters: of the base model.
        layers: of the base model.
        epochs: over the rows.
        batch: rows of a language in a step.
        test_rows: rows of a language that a model is evaluated on.
        answer_tokens: that an answer is generated of; 0 where choices are scored.
    """

    languages: int
    rows: int
    tokens: float
    parameters: float
    layers: int
    epochs: float = 3.0
    batch: int = 8
    test_rows: int = 500
    answer_tokens: int = 0


@dataclass(frozen=True)
class Forecast:
    """Seconds on one device.

    Attributes:
        one_language: training one language's adapter.
        sequential: training every language, one after the other.
        grouped: the same, all languages in one step.
        combined: training on all languages at once, with the same batch.
        combined_wide: the same, with a batch as many times larger as there are languages.
        merging: one merge.
        evaluating: one model on every language's test rows.
        loading: the base model, once a process.
    """

    one_language: float
    sequential: float
    grouped: float
    combined: float
    combined_wide: float
    merging: float
    evaluating: float
    loading: float

    @property
    def initial(self) -> float:
        """The first release: the faster way to train, a merge, an evaluation of what it made."""
        training = min(self.sequential, self.grouped)
        return self.loading + training + self.merging + self.evaluating

    @property
    def initial_combined(self) -> float:
        """The same by the combined model, at the better of its batch sizes."""
        return self.loading + min(self.combined, self.combined_wide) + self.evaluating

    @property
    def update(self) -> float:
        """One language changed: trained, merged, and the merge evaluated on every language."""
        return self.loading + self.one_language + self.merging + self.evaluating

    @property
    def saved(self) -> float:
        """Share of retraining the combined model that an update saves; may be negative."""
        return 1 - self.update / self.initial_combined


def device_named(name: str) -> Device:
    """Return a device that was measured.

    Raises:
        UserError: if there is none of that name.
    """
    if (found := DEVICES.get(name)) is None:
        raise UserError(
            f"device '{name}': not measured{did_you_mean(name, DEVICES)} "
            f"(known: {', '.join(DEVICES)})"
        )
    return found


def forecast(work: Workload, device: Device) -> Forecast:
    """Return what a workload takes on one device."""
    steps = math.ceil(work.epochs * math.ceil(work.rows / work.batch))
    tokens = work.batch * work.tokens
    alone = step_seconds(work, device, tokens)
    together = step_seconds(work, device, tokens * work.languages)
    return Forecast(
        one_language=steps * alone,
        sequential=work.languages * steps * alone,
        grouped=steps * together,
        combined=work.languages * steps * alone,
        combined_wide=steps * together,
        merging=device.merging * work.parameters / 1e9,
        evaluating=work.languages * _evaluating(work, device),
        loading=2 * work.parameters / device.loading,
    )


def step_seconds(work: Workload, device: Device, tokens: float) -> float:
    """Return what a training step of so many tokens takes, all languages of it together."""
    return max(device.floor * work.layers, tokens * _TRAINING * work.parameters / device.rate)


def _evaluating(work: Workload, device: Device) -> float:
    """Return what one model on one language's test rows takes."""
    rows_at_once = max(1, int(_BATCH_TOKENS / (work.tokens + work.answer_tokens)))
    passes = math.ceil(work.test_rows / rows_at_once) * (1 + work.answer_tokens)
    floor = passes * _FORWARD_SHARE_OF_FLOOR * device.floor * work.layers
    tokens = work.test_rows * (work.tokens + work.answer_tokens)
    return max(floor, tokens * _FORWARD * work.parameters / device.rate)
