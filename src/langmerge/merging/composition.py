"""A merge as a composition: sparsify -> elect -> combine -> scale.

Each step is a function, made by a function of its parameters (see `steps/`):

- *sparsify* thins one task vector at a time (trim, drop);
- *elect* decides for each entry whether the positive or the negative side counts;
- *combine* turns the sum and the weight of the side that counts into the merged entry;
- *scale* is a number.

Which coordinates the entries are taken in is not the composition's affair: see `spaces/`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from langmerge.merging.kernels import kernels
from langmerge.merging.protect import Guard, overruled, upheld
from langmerge.merging.vectors import Buffers, Merged, TaskVector, Tile, flat, tiles


class Tally(NamedTuple):
    """Weighted sums over the adapters, entry by entry; all `[rows, columns]` float32.

    Attributes:
        total: the sum of all entries.
        positive: the sum of the positive entries.
        positive_weight: the weights of the adapters whose entry is positive.
        negative_weight: the weights of the adapters whose entry is negative.
    """

    total: Tensor
    positive: Tensor
    positive_weight: Tensor
    negative_weight: Tensor


# Thins a tile in place; made for one task vector, which it may pass over to find a threshold.
Thin = Callable[[Tensor, Tile], Tensor]
Sparsify = Callable[[TaskVector], Thin]
# A number about one adapter's task vectors over all modules; becomes their `statistic`.
Survey = Callable[[Callable[[], Iterable[TaskVector]]], float]
# 1.0 where the positive side counts, 0.0 where the negative one does; the flag says whether a sum
# of zero counts as positive.
Elect = Callable[[Tally, bool], Tensor]
# (sum, weight) of what counts -> merged entry; the weight is a number where nothing is elected.
Combine = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Composition:
    """What a method does to the entries of one module's task vectors.

    Attributes:
        combine: turns the sum and the weight of what counts into the merged entry.
        sparsify: thins each task vector, or None.
        elect: decides which sign counts, or None where both do.
        scale: the factor on the result.
        survey: a pass over all modules of one adapter before any is merged, or None.
        zero_by_majority: whether a sum of zero takes the sign that most sums of its module have;
            costs one more pass over the module.
        slack: how much of a protected entry's size may be lost, as a share (see `protect`).
    """

    combine: Combine
    sparsify: Sparsify | None = None
    elect: Elect | None = None
    scale: float = 1.0
    survey: Survey | None = None
    zero_by_majority: bool = False
    slack: float = 0.0

    @property
    def linear(self) -> bool:
        """Whether the merge is a weighted sum of the task vectors."""
        return self.sparsify is None and self.elect is None


@dataclass(frozen=True)
class WholeModule:
    """A method that works on a module's task vectors as matrices, not entry by entry.

    Attributes:
        merge: (task vectors, weight of all adapters) -> merged task vector.
    """

    merge: Callable[[Sequence[TaskVector], float], Merged]


Method = Composition | WholeModule


def merge_entries(
    vectors: Sequence[TaskVector], composition: Composition, total_weight: float
) -> Tensor:
    """Merge task vectors entry by entry.

    One pass over the tiles, in each of which the adapters are summed one after the other: memory
    does not grow with their number.

    Args:
        vectors: the task vectors, all of one shape.
        composition: what to do with them.
        total_weight: the weights of all adapters, also of those that do not adapt this module
            (their task vector is zero).

    Returns:
        The merged task vector, `[rows, columns]` float32.
    """
    shape, device = vectors[0].shape, vectors[0].b.device
    merged = torch.empty(shape, dtype=torch.float32, device=device)
    thin = [composition.sparsify(v) if composition.sparsify else None for v in vectors]
    guard = Guard(vectors) if any(v.protected for v in vectors) else None
    everyone = torch.tensor(total_weight, dtype=torch.float32, device=device)
    zero_is_positive = True
    if composition.zero_by_majority:
        signs = sum(int(tally.total.sign().sum()) for _, tally in _tallies(vectors, thin, False))
        zero_is_positive = signs >= 0
    for tile, tally in _tallies(vectors, thin, composition.elect is not None):
        if composition.elect is None:
            result = composition.combine(tally.total, everyone)
        elif guard is None:
            positive = composition.elect(tally, zero_is_positive)
            result = composition.combine(*_elected(tally, positive))
        else:
            vote, size = guard.at(tile)
            positive = overruled(composition.elect(tally, zero_is_positive), vote)
            result = composition.combine(*_elected(tally, positive))
            result = upheld(result, vote, size.mul_(1.0 - composition.slack))
        torch.mul(result, composition.scale, out=tile.of(merged))
    return merged


def _tallies(
    vectors: Sequence[TaskVector], thin: Sequence[Thin | None], by_sign: bool
) -> Iterator[tuple[Tile, Tally]]:
    """Yield each tile with its sums, in memory that the next tile uses again."""
    shape, device = vectors[0].shape, vectors[0].b.device
    buffers = Buffers(6, shape, device)
    for tile in tiles(shape, device):
        entries, flags, *sums = buffers.shaped(tile.shape)
        tally = Tally(*(s.zero_() for s in sums))
        for vector, thin_tile in zip(vectors, thin, strict=True):
            vector.tile(tile, out=entries)
            if thin_tile is not None:
                thin_tile(entries, tile)
            if by_sign:
                _add_by_sign(tally, entries, flags, vector.weight)
            else:
                tally.total.add_(entries, alpha=vector.weight)
        yield tile, tally


def _add_by_sign(tally: Tally, entries: Tensor, flags: Tensor, weight: float) -> None:
    """Add one adapter's entries to all sums; a zero is on neither side."""
    if compiled := kernels(entries):
        compiled.add_by_sign(flat(entries), np.float32(weight), *map(flat, tally))
        return
    tally.total.add_(entries, alpha=weight)
    tally.positive.add_(torch.clamp_min(entries, 0.0, out=flags), alpha=weight)
    # Comparisons into a float buffer: several times faster than into bool.
    tally.positive_weight.add_(torch.gt(entries, 0.0, out=flags), alpha=weight)
    tally.negative_weight.add_(torch.lt(entries, 0.0, out=flags), alpha=weight)


def _elected(tally: Tally, positive: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sum and the weight of the elected side, in the tally's own memory.

    Multiplying by 0 and 1 selects exactly, and much faster than `torch.where`.
    """
    if (
        (compiled := kernels(positive))
        and positive.is_contiguous()
        and positive.dtype == torch.float32
    ):
        compiled.elected(flat(positive), *map(flat, tally))
        return tally.positive, tally.positive_weight
    rest = 1.0 - positive
    negative_sum = tally.total.sub_(tally.positive)
    total = tally.positive.mul_(positive).add_(negative_sum.mul_(rest))
    weight = tally.positive_weight.mul_(positive).add_(tally.negative_weight.mul_(rest))
    return total, weight
