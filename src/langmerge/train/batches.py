"""Which examples a step trains on, and as which tensors.

Both are functions of the step's number: nothing has to be remembered to continue at step k.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import torch
from torch import Tensor

from langmerge.encoding import Example

# Lengths are blurred by this share before examples are grouped by them: enough that every epoch
# groups others, too little to pad much.
_LENGTH_JITTER = 0.15


@dataclass(frozen=True)
class Part:
    """The share of one adapter in a batch, in tokens: real, with padding, and supervised."""

    tokens: int
    padded: int
    supervised: int


@dataclass(frozen=True)
class Batch:
    """Rows of one or several adapters as tensors; the rows of an adapter stand together.

    Attributes:
        input_ids: int64. Padded on the right, `[rows, length]`; or packed, `[1, tokens]`: all rows
            one after the other.
        position_ids: `[1, tokens]`, int64, from 0 in every row, of what is packed; else None.
        positions: `[supervised]`, int64: indices into the flattened `input_ids` at which a token
            of a completion is predicted.
        targets: `[supervised]`, int64: those tokens.
        lengths: how many tokens each row has.
        parts: one per adapter, in the order of the tokens.
    """

    input_ids: Tensor
    position_ids: Tensor | None
    positions: Tensor
    targets: Tensor
    lengths: tuple[int, ...]
    parts: tuple[Part, ...]

    @property
    def tokens(self) -> int:
        """How many of `input_ids` are no padding."""
        return sum(self.lengths)

    def to(self, device: torch.device) -> Batch:
        """Return the batch on another device."""
        return replace(
            self,
            input_ids=self.input_ids.to(device),
            position_ids=None if self.position_ids is None else self.position_ids.to(device),
            positions=self.positions.to(device),
            targets=self.targets.to(device),
        )


def epoch_batches(lengths: Sequence[int], size: int, seed: int, epoch: int) -> list[list[int]]:
    """Return one epoch's batches as indices: similar lengths together, batches in random order.

    Args:
        lengths: the length of each example.
        size: examples in a batch; the last may have fewer.
        seed: of the run.
        epoch: counted from 0; with `seed` all that the result depends on beside the lengths.
    """
    rng = random.Random(f"{seed}/{epoch}")
    blurred = [length * rng.uniform(1, 1 + _LENGTH_JITTER) for length in lengths]
    order = sorted(range(len(lengths)), key=blurred.__getitem__)
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    rng.shuffle(batches)
    return batches


class Sampler:
    """The batch of every step: epoch after epoch, without end.

    Args:
        lengths: the length of each example.
        size: examples in a step.
        seed: of the run.
    """

    def __init__(self, lengths: Sequence[int], size: int, seed: int) -> None:
        self._lengths, self._size, self._seed = lengths, size, seed
        self.steps_per_epoch = math.ceil(len(lengths) / size)
        self._epoch: tuple[int, list[list[int]]] | None = None

    def batch(self, step: int) -> list[int]:
        """Return the indices of the examples of a step, counted from 0."""
        epoch, index = divmod(step, self.steps_per_epoch)
        if self._epoch is None or self._epoch[0] != epoch:
            self._epoch = epoch, epoch_batches(self._lengths, self._size, self._seed, epoch)
        return self._epoch[1][index]


def supervised(example: Example) -> int:
    """Return how many tokens of an example are predicted; without a prompt not the first one."""
    return len(example.completion_ids) - (0 if example.prompt_ids else 1)


def collate(*groups: Sequence[Example], packed: bool = False) -> Batch:
    """Return the examples of one or several adapters as one batch.

    The last token of a completion is predicted but never an input. Without a prompt, the first
    token of a completion is an input but not predicted.

    Args:
        groups: the examples of each adapter.
        packed: one after the other, instead of padded to the longest.
    """
    examples = [example for group in groups for example in group]
    rows = [(*example.prompt_ids, *example.completion_ids) for example in examples]
    lengths = [len(row) - 1 for row in rows]
    width = max(lengths)
    starts = [0, *accumulate(lengths)] if packed else range(0, width * len(rows), width)
    # Any id does as padding: no token attends to it, and nothing is predicted there.
    flat = torch.zeros(sum(lengths) if packed else width * len(rows), dtype=torch.int64)
    positions: list[int] = []
    targets: list[int] = []
    for start, example, row in zip(starts, examples, rows, strict=False):
        flat[start : start + len(row) - 1] = torch.tensor(row[:-1])
        first = max(len(example.prompt_ids), 1)
        positions += [start + at - 1 for at in range(first, len(row))]
        targets += row[first:]
    sizes = [len(group) for group in groups]
    parts = []
    for stop, size in zip(accumulate(sizes), sizes, strict=True):
        of = slice(stop - size, stop)
        tokens = sum(lengths[of])
        padded = tokens if packed else width * size
        parts.append(Part(tokens, padded, sum(map(supervised, examples[of]))))
    return Batch(
        flat[None] if packed else flat.view(len(rows), width),
        torch.cat([torch.arange(length) for length in lengths])[None] if packed else None,
        torch.tensor(positions, dtype=torch.int64),
        torch.tensor(targets, dtype=torch.int64),
        tuple(lengths),
        tuple(parts),
    )
