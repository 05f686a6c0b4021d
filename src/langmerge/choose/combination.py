"""A weighted sum of adapters on a frozen base: its loss, and the gradient in its weights alone.

The sum `sum w_i s_i B_i A_i` of a module is one product of stacked factors with a diagonal between
them, `[B_1 .. B_n] diag(c) [A_1; ..; A_n]`, where `c` repeats `w_i s_i` over the ranks of adapter
`i`. So a pass costs what one adapter of all ranks together costs, and no merge is made for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from langmerge.adapter import Adapter
from langmerge.encoding import Example
from langmerge.errors import MergeError
from langmerge.memory import halving
from langmerge.merging.layers import bands_by_module
from langmerge.merging.preflight import check_mergeable
from langmerge.model import BaseModel, refuse_unfit_adapter
from langmerge.train.acting import Acting, Layout, attached
from langmerge.train.batches import Batch, collate, supervised
from langmerge.train.lora import TrainableFactors
from langmerge.train.loss import backward_through_head, summed_loss
from langmerge.train.packing import Packing, packed, packed_attention, packing_kernel

if TYPE_CHECKING:
    from typing_extensions import Self

Examples = Mapping[str, Sequence[Example]]
"""Examples by language; each has a supervised token."""


@dataclass(frozen=True)
class Values:
    """What is learned.

    Attributes:
        weights: `[adapters]`, fp32 (fp64 on an fp64 base), requires grad.
        bands: `[bands]`, the same; the factors on the sum by bands of layers.
    """

    weights: Tensor
    bands: Tensor


@dataclass(frozen=True, kw_only=True)
class _StackedFactors(TrainableFactors):
    """The sum's change of one module; `a` is `[ranks, in]`, `b` is `[out, ranks]`, both frozen.

    Attributes:
        values: the weights.
        mixing: `[ranks, adapters]`: what a weight of 1 makes of each rank's coefficient.
        fixed: `[ranks]`: the part of the coefficients that no weight changes.
        band: the module's band of layers; None for a module of no layer.
    """

    values: Values
    mixing: Tensor
    fixed: Tensor
    band: int | None

    def __call__(self, x: Tensor) -> Tensor:
        """Return what the sum adds to the module's output for inputs `[..., in]`."""
        # Computed anew at every call: the head runs backward several times in one pass.
        coefficients = self.mixing @ self.values.weights.to(self.mixing.device)
        if self.band is not None:
            coefficients = coefficients * self.values.bands[self.band].to(self.mixing.device)
        low = functional.linear(x, self.a.to(x.dtype)) * (coefficients + self.fixed)
        return functional.linear(low.to(x.dtype), self.b.to(x.dtype))


class Combination:
    """The base with a weighted sum of adapters inside a `with` block.

    With an ancestor `d_0` the sum is that of a merge over it: `d_0 + sum w_i (d_i - d_0)`.

    Args:
        base: the base model; as it was after the block.
        adapters: linear modules' adapters of that base.
        bands: of layers, each with a factor of its own on the sum.
        ancestor: what the adapters started from, if anything.
        size: examples that go through the model at once; halved where memory runs out.

    Attributes:
        values: the weights, `1 / n` each at first, and the bands' factors, 1 at first.

    Raises:
        MergeError: if the adapters do not fit together, or adapt an embedding.
        AdapterError: if one does not fit the base, or holds NaN or infinity.
    """

    def __init__(
        self,
        base: BaseModel,
        adapters: Sequence[Adapter],
        *,
        bands: int = 1,
        ancestor: Adapter | None = None,
        size: int = 16,
    ) -> None:
        check_mergeable(adapters, ancestor)
        for adapter in adapters:
            _refuse_unfit(base, adapter)
        self._base, self._size = base, size
        dtype = torch.promote_types(base.dtype, torch.float32)
        self.values = Values(
            _learned(len(adapters), 1 / len(adapters), base.device, dtype),
            _learned(bands, 1.0, base.device, dtype),
        )
        modules = sorted({module for adapter in adapters for module in adapter.modules})
        self._factors = {
            module: _stacked(
                base, module, adapters, ancestor=ancestor, values=self.values, band=band
            )
            for module, band in bands_by_module(modules, bands).items()
        }
        self._kernel = packing_kernel(base)
        self._active = ExitStack()
        self._acting: Acting

    def __enter__(self) -> Self:
        self._acting = self._active.enter_context(attached(self._base, self._factors))
        self._active.enter_context(packed_attention(self._base, self._kernel))
        return self

    def __exit__(self, *_error: object) -> None:
        self._active.close()

    def losses(self, examples: Examples) -> dict[str, float]:
        """Return the mean loss per supervised token of each language, in nats."""

        def attempt(size: int) -> dict[str, float]:
            return {code: self._summed(of, size) / _tokens(of) for code, of in examples.items()}

        with torch.no_grad():
            found, self._size = halving(attempt, self._size)
        return found

    def set_gradients(self, examples: Examples) -> float:
        """Set the gradients of the mean over languages of the mean losses, and return that loss."""

        def attempt(size: int) -> float:
            for value in (self.values.weights, self.values.bands):
                value.grad = None
            return sum(
                self._backward(of, size, 1 / (len(examples) * _tokens(of)))
                for of in examples.values()
            )

        loss, self._size = halving(attempt, self._size)
        return loss

    def _summed(self, examples: Sequence[Example], size: int) -> float:
        total = 0.0
        ordered = sorted(examples, key=lambda example: example.length)
        for start in range(0, len(ordered), size):
            batch = self._batch(ordered[start : start + size])
            with packed(self._packing(batch)), self._acting.during(_layout(batch)):
                total += summed_loss(self._base, self._states(batch), batch.targets)
        return total

    def _backward(self, examples: Sequence[Example], size: int, weight: float) -> float:
        """Add the gradients of the examples' summed losses times a weight; return that product."""
        total = 0.0
        for start in range(0, len(examples), size):
            batch = self._batch(examples[start : start + size])
            with packed(self._packing(batch)), self._acting.during(_layout(batch)):
                loss = backward_through_head(
                    self._base,
                    self._states(batch),
                    batch.targets,
                    acting=self._acting,
                    counts=[part.supervised for part in batch.parts],
                    weights=[weight],
                )
            total += float(loss)
        return total

    def _batch(self, examples: Sequence[Example]) -> Batch:
        return collate(examples, packed=self._kernel is not None).to(self._base.device)

    def _packing(self, batch: Batch) -> Packing | None:
        if self._kernel is None:
            return None
        return Packing.of(batch.lengths, self._base.device, self._kernel)

    def _states(self, batch: Batch) -> Tensor:
        """Return the hidden states from which the targets are predicted, `[supervised, hidden]`."""
        hidden = self._base.hidden_states(batch.input_ids, position_ids=batch.position_ids)
        return hidden.flatten(0, 1)[batch.positions.to(hidden.device)]


def _layout(batch: Batch) -> Layout:
    return Layout((0,), (batch.parts[0].padded,))


def _tokens(examples: Sequence[Example]) -> int:
    return sum(map(supervised, examples))


def _learned(count: int, value: float, device: torch.device, dtype: torch.dtype) -> Tensor:
    return torch.full((count,), value, device=device, dtype=dtype).requires_grad_()


def _refuse_unfit(base: BaseModel, adapter: Adapter) -> None:
    refuse_unfit_adapter(base, adapter)
    if adapter.embeddings:
        raise MergeError(
            f"{adapter.source}: adapts the embedding '{min(adapter.embeddings)}', and calibrated "
            "weights are learned over linear modules; give the weights, or train without it"
        )


def _stacked(
    base: BaseModel,
    module: str,
    adapters: Sequence[Adapter],
    *,
    ancestor: Adapter | None,
    values: Values,
    band: int | None,
) -> _StackedFactors:
    """Return the factors of all adapters of a module, and how weights become coefficients.

    With an ancestor, `d_0 + sum w_i (d_i - d_0) = sum w_i d_i + (1 - sum w_i) d_0`: its factors
    stand once among the others.
    """
    weight = base.module(module).weight
    assert isinstance(weight, Tensor)
    count = len(adapters)
    own = [at for at, adapter in enumerate(adapters) if module in adapter.shapes]
    parts = [adapters[at].factors(module) for at in own]
    rows = [functional.one_hot(torch.tensor(at), count) * adapters[at].scale(module) for at in own]
    fixed = [0.0] * len(own)
    if ancestor is not None and module in ancestor.shapes:
        parts.append(ancestor.factors(module))
        rows.append(-ancestor.scale(module) * torch.eye(count)[own].sum(0))
        fixed.append(ancestor.scale(module))
    ranks = torch.tensor([part.a.shape[0] for part in parts])
    dtype, place = values.weights.dtype, weight.device
    return _StackedFactors(
        torch.cat([part.a.to(place, weight.dtype) for part in parts]),
        torch.cat([part.b.to(place, weight.dtype) for part in parts], dim=1),
        1.0,
        values=values,
        mixing=torch.stack(rows).repeat_interleave(ranks, 0).to(place, dtype),
        fixed=torch.tensor(fixed).repeat_interleave(ranks).to(place, dtype),
        band=band,
    )
