"""Adapters at work: hooks on the base's modules add what each adapter makes of its own tokens.

Several adapters act in one pass. Their tokens stand one adapter after the other, so that an
adapted module is a product of groups: `torch.nn.functional.grouped_mm` where the device has it,
else one small product per adapter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from langmerge.model import BaseModel
from langmerge.train.compiling import uncompiled
from langmerge.train.lora import Factors, TrainableFactors

# A row of a grouped product must be a multiple of 16 bytes.
_ALIGNED = 8


@dataclass(frozen=True)
class Layout:
    """Whose tokens a pass holds.

    Attributes:
        members: the adapters, by their place in `Acting`.
        counts: how many flattened tokens each has, padding included; one after the other.
        seeds: of each adapter's dropout in this pass; empty where nothing is dropped.
        real: `[tokens]`, int64: the flattened places that are no padding; None where all are.
        real_counts: how many of them each adapter has.
    """

    members: tuple[int, ...]
    counts: tuple[int, ...]
    seeds: tuple[int, ...] = ()
    real: Tensor | None = None
    real_counts: tuple[int, ...] = ()


class Acting:
    """Adapters attached to a base.

    Args:
        adapters: the factors of each.

    Attributes:
        layout: whose tokens the present pass holds; at first all are the first adapter's.
    """

    def __init__(self, adapters: Sequence[Factors]) -> None:
        self.adapters = adapters
        self.layout = Layout((0,), ())

    @contextmanager
    def during(self, layout: Layout) -> Iterator[None]:
        """Set the layout inside the block; a backward pass may need it as the forward one did."""
        before, self.layout = self.layout, layout
        try:
            yield
        finally:
            self.layout = before

    def added(self, name: str, x: Tensor) -> Tensor | None:
        """Return what the adapters add to a module's output for its inputs `[..., in]`."""
        layout = self.layout
        factors = [self.adapters[member].get(name) for member in layout.members]
        if len(factors) == 1:
            (only,) = factors
            if only is None:
                return None
            return only(_dropped(x, only.dropout, name, layout, 0) if only.dropout else x)
        return self._added_to_each(name, x)

    @uncompiled
    def _added_to_each(self, name: str, x: Tensor) -> Tensor | None:
        layout = self.layout
        factors = [self.adapters[member].get(name) for member in layout.members]
        flat = x.flatten(0, -2)
        present = [found for found in factors if found is not None]
        if not present:
            return None
        if any(found.dropout for found in present):
            flat = _each_dropped(flat, factors, name, layout)
        if len(present) == len(factors) and _has_grouped_mm(flat, present[0].b.shape[0]):
            added = _by_grouped_mm(flat, present, layout.counts)
        else:
            out_features = present[0].b.shape[0]
            added = torch.cat(
                [
                    part.new_zeros(len(part), out_features) if found is None else found(part)
                    for part, found in zip(
                        torch.split(flat, list(layout.counts)), factors, strict=True
                    )
                ]
            )
        return added.view(*x.shape[:-1], -1)


@contextmanager
def attached(base: BaseModel, *adapters: Factors) -> Iterator[Acting]:
    """Let the base compute with adapters inside the block."""
    acting = Acting(adapters)
    names = dict.fromkeys(name for factors in adapters for name in factors)
    hooks = [base.module(name).register_forward_hook(_adding(acting, name)) for name in names]
    try:
        yield acting
    finally:
        for hook in hooks:
            hook.remove()


def _adding(acting: Acting, name: str) -> Any:
    def hook(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        added = acting.added(name, inputs[0])
        return output if added is None else output + added

    return hook


def _has_grouped_mm(x: Tensor, out_features: int) -> bool:
    return (
        hasattr(functional, "grouped_mm")  # not in every torch
        and x.is_cuda
        and x.dtype == torch.bfloat16
        and x.shape[-1] % _ALIGNED == out_features % _ALIGNED == 0
        and torch.cuda.get_device_capability(x.device)[0] >= 8
    )


def _by_grouped_mm(x: Tensor, factors: Sequence[TrainableFactors], counts: Sequence[int]) -> Tensor:
    """Return `scale * B A x` of each adapter for its rows of `x`, by two grouped products.

    Args:
        x: `[tokens, in]`.
        factors: of each adapter; ranks may differ: zeros fill them up.
        counts: how many rows each has.

    Returns:
        `[tokens, out]`.
    """
    rank = max(found.a.shape[0] for found in factors)
    rank += -rank % _ALIGNED
    ends = torch.tensor(counts).cumsum(0).to(x.device, torch.int32, non_blocking=True)
    a = torch.stack([_filled(found.a, rank, 0) for found in factors]).to(x.dtype)
    b = torch.stack([_filled(found.b, rank, 1) for found in factors])
    scales = torch.tensor([found.scale for found in factors], device=x.device, dtype=b.dtype)
    b = (b * scales[:, None, None]).to(x.dtype)
    low = functional.grouped_mm(x, a.transpose(-2, -1), offs=ends)
    return functional.grouped_mm(low, b.transpose(-2, -1), offs=ends)


def _filled(factor: Tensor, rank: int, dim: int) -> Tensor:
    """Return a factor with zeros up to a rank, which change no product."""
    missing = rank - factor.shape[dim]
    if not missing:
        return factor
    return functional.pad(factor, (0, 0, 0, missing) if dim == 0 else (0, missing))


def _each_dropped(
    flat: Tensor, factors: Sequence[TrainableFactors | None], name: str, layout: Layout
) -> Tensor:
    parts = [
        part if found is None else _dropped(part, found.dropout, name, layout, index)
        for index, (part, found) in enumerate(
            zip(torch.split(flat, list(layout.counts)), factors, strict=True)
        )
    ]
    return torch.cat(parts)


@uncompiled
def _dropped(x: Tensor, share: float, name: str, layout: Layout, index: int) -> Tensor:
    """Return inputs of which a share is dropped, by a seed of the adapter, the pass and the module.

    The same tokens lose the same inputs wherever they stand: alone or among those of others, padded
    or packed, and when activation checkpointing computes them again.
    """
    if not share or not layout.seeds:
        return x
    seed = layout.seeds[index] ^ _number_of(name)
    generator = torch.Generator(x.device).manual_seed(seed)
    count = x.numel() // x.shape[-1] if layout.real is None else layout.real_counts[index]
    draws = torch.rand(count, x.shape[-1], device=x.device, generator=generator)
    mask = (draws >= share).to(x.dtype) / (1 - share)
    if layout.real is not None:
        before = sum(layout.counts[:index])
        first = sum(layout.real_counts[:index])
        places = layout.real[first : first + count].to(x.device) - before
        mask = mask.new_zeros(x.numel() // x.shape[-1], x.shape[-1]).index_copy(0, places, mask)
    return x * mask.view(x.shape)


_numbers: dict[str, int] = {}


def _number_of(name: str) -> int:
    if name not in _numbers:
        digest = hashlib.sha256(name.encode()).digest()
        _numbers[name] = int.from_bytes(digest[:8], "big") >> 1
    return _numbers[name]
