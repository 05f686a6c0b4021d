"""Weights learned on a few dev rows: those of the sum of adapters with the lowest loss there.

As LoraHub (arXiv:2307.13269), which finds one coefficient per adapter on a few examples, without
gradients; by gradients, as AdaMerging (arXiv:2310.02575), which lowers the entropy of the answers
where we, having answers, lower their loss.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import torch

from langmerge.adapter import Adapter
from langmerge.choose.combination import Combination, Examples
from langmerge.data import Row
from langmerge.data.changes import row_digest
from langmerge.encoding import Example
from langmerge.errors import MergeError
from langmerge.model import BaseModel
from langmerge.train.batches import Sampler, supervised
from langmerge.train.config import TrainConfig
from langmerge.train.schedule import learning_rate

_EPOCHS = 3
_LEAST_STEPS = 50
"""A step moves a weight by no more than its learning rate: of a few rows, three passes would not
get it anywhere."""
_BETAS = (0.8, 0.9)
"""AdamW's. Its usual memory of a thousand steps is longer than all of these: the large gradients of
the first few would slow down the rest."""


@dataclass(frozen=True)
class Calibration:
    """What was learned.

    Attributes:
        weights: of the adapters, in the order in which they were given.
        layer_scales: the factors on the sum by bands of layers; None for one band.
        losses: the mean over languages at equal weights, then after every epoch, in nats per
            supervised token; the lowest is that of the weights.
        before: the loss of each language at equal weights.
        after: the loss of each language at the weights.
        rows: how many examples of each language were used.
        seconds: how long it took.
    """

    weights: tuple[float, ...]
    layer_scales: tuple[float, ...] | None
    losses: tuple[float, ...]
    before: Mapping[str, float]
    after: Mapping[str, float]
    rows: Mapping[str, int]
    seconds: float

    def evidence(self, languages: Sequence[str]) -> dict[str, Any]:
        """Return all but the time as JSON values, with weights by language."""
        scales = {} if self.layer_scales is None else {"layer_scales": list(self.layer_scales)}
        return {
            "weights": dict(zip(languages, self.weights, strict=True)),
            **scales,
            "losses": list(self.losses),
            "before": dict(self.before),
            "after": dict(self.after),
            "rows": dict(self.rows),
        }


def calibrate(
    base: BaseModel,
    adapters: Mapping[str, Adapter],
    examples: Mapping[str, Sequence[Example]],
    *,
    bands: int = 1,
    ancestor: Adapter | None = None,
    epochs: int | None = None,
    batch_size: int = 4,
    rate: float = 0.05,
    on_progress: Callable[[int, int, str], None] | None = None,
) -> Calibration:
    """Learn the weights `w_i` of `sum w_i d_i` on a few examples of every language.

    What is lowered is the mean over languages of their mean loss per supervised token, so that no
    language counts more for having more or longer rows. The base and the adapters stay as they are.
    Every step takes a batch of each language. AdamW without decay begins at `1 / n`, the plain
    mean: a model between those that were trained, and what one would merge by without dev rows.
    The rate falls to 0 by a cosine. Weights may be of any size and sign. Of the start and what each
    epoch came to, the one with the lowest loss on all examples is returned, so it is never worse
    there than the mean.

    The result depends on no seed, and not on the order of the languages; on one CPU it is the same
    every time.

    Args:
        base: the base model, without an adapter; as it was afterwards.
        adapters: by language.
        examples: by language, one without an adapter included; a language that has none has no
            part in the loss.
        bands: of layers, each with a learned factor on the sum (a recipe's `layer_scales`).
        ancestor: what the adapters started from: their differences to it are weighed, and it is
            added.
        epochs: passes over the language with the most examples; 3 if not given, or as many as it
            takes for 50 steps, fewer of which may end before the weights are where they should be.
        batch_size: examples of each language in a step.
        rate: the highest learning rate.
        on_progress: called with (steps done, steps in all, the loss of the last one).

    Raises:
        MergeError: if no language has an example with a token to predict, if the adapters do not
            fit together, or if the loss is not finite.
        AdapterError: if an adapter does not fit the base, or holds NaN or infinity.
    """
    started = time.monotonic()
    if min(len(adapters), bands, batch_size, 1 if epochs is None else epochs) < 1:
        raise MergeError(
            f"calibrate: found {len(adapters)} adapters, bands {bands}, epochs {epochs} and "
            f"batch_size {batch_size}, expected at least 1 of each"
        )
    order = sorted(adapters)
    used = _usable(examples, order)
    samplers = {
        code: Sampler([example.length for example in of], batch_size, seed=0)
        for code, of in used.items()
    }
    per_epoch = max(sampler.steps_per_epoch for sampler in samplers.values())
    steps = per_epoch * (epochs or max(_EPOCHS, math.ceil(_LEAST_STEPS / per_epoch)))
    schedule = TrainConfig(learning_rate=rate, lr_scheduler_type="cosine")
    of = [adapters[code] for code in order]
    with Combination(base, of, bands=bands, ancestor=ancestor) as combination:
        values = combination.values
        learned = [values.weights, values.bands] if bands > 1 else [values.weights]
        optimizer = torch.optim.AdamW(learned, lr=rate, betas=_BETAS, weight_decay=0.0)
        tried = [_Tried.of(combination, used)]
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = learning_rate(schedule, step, steps)
            loss = combination.set_gradients(
                {code: [used[code][at] for at in s.batch(step)] for code, s in samplers.items()}
            )
            optimizer.step()
            if on_progress is not None:
                on_progress(step + 1, steps, f"loss {loss:.3f}")
            if (step + 1) % per_epoch == 0:
                tried.append(_Tried.of(combination, used))
    best = min(tried, key=lambda one: one.loss if math.isfinite(one.loss) else math.inf)
    if not math.isfinite(best.loss):
        raise MergeError(
            f"calibrate: the loss of {', '.join(order)} is not finite; did a training diverge?"
        )
    by_language = dict(zip(order, best.weights, strict=True))
    return Calibration(
        weights=tuple(by_language[code] for code in adapters),
        layer_scales=best.bands if bands > 1 else None,
        losses=tuple(one.loss for one in tried),
        before=tried[0].losses,
        after=best.losses,
        rows={code: len(used.get(code, ())) for code in sorted({*order, *examples})},
        seconds=time.monotonic() - started,
    )


def calibration_rows(rows: Sequence[Row], count: int) -> tuple[Row, ...]:
    """Return at most so many rows, drawn by their content alone: no order or seed has a part."""
    return tuple(sorted(rows, key=row_digest)[:count])


@dataclass(frozen=True)
class _Tried:
    """Weights and factors of bands, with the languages' losses and their mean."""

    weights: tuple[float, ...]
    bands: tuple[float, ...]
    losses: dict[str, float]
    loss: float

    @classmethod
    def of(cls, combination: Combination, examples: Examples) -> _Tried:
        """Measure a combination as it is now."""
        values, losses = combination.values, combination.losses(examples)
        weights, bands = (tuple(of.tolist()) for of in (values.weights, values.bands))
        return cls(weights, bands, losses, fmean(losses.values()))


def _usable(examples: Examples, languages: Sequence[str]) -> dict[str, list[Example]]:
    """Return the examples in which a token is predicted, by language, sorted; none is empty."""
    found = {code: [e for e in examples[code] if supervised(e) > 0] for code in sorted(examples)}
    used = {code: of for code, of in found.items() if of}
    if not used:
        raise MergeError(
            "calibrated weights are learned on dev rows, and there are none of "
            f"{', '.join(sorted({*languages, *examples}))}; add dev rows of one language at least"
        )
    return used
