"""Which examples a step trains on, and as which tensors.

Both are functions of the step's number: nothing has to be remembered to continue at step k.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from langmerge.encoding import Example

# Lengths are blurred by this share before examples are grouped by them: enough that every epoch
# groups others, too little to pad much.
_LENGTH_JITTER = 0.15


@dataclass(frozen=True)
class Batch:
    """Examples as tensors, padded on the right.

    Attributes:
        input_ids: `[batch, length]`, int64.
        positions: `[supervised]`, int64: indices into the flattened `input_ids` at which a token
            of a completion is predicted.
        targets: `[supervised]`, int64: those tokens.
        tokens: how many of `input_ids` are no padding.
    """

    input_ids: Tensor
    positions: Tensor
    targets: Tensor
    tokens: int

    def to(self, device: torch.device) -> Batch:
        """Return the batch on another device."""
        return Batch(
            self.input_ids.to(device),
            self.positions.to(device),
            self.targets.to(device),
            self.tokens,
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


def collate(examples: Sequence[Example]) -> Batch:
    """Return examples as one padded batch.

    The last token of a completion is predicted but never an input. Without a prompt, the first
    token of a completion is an input but not predicted.
    """
    rows = [(*example.prompt_ids, *example.completion_ids) for example in examples]
    length = max(len(row) for row in rows) - 1
    # Any id does as padding: no token attends to it, and nothing is predicted there.
    input_ids = torch.zeros(len(rows), length, dtype=torch.int64)
    positions: list[int] = []
    targets: list[int] = []
    for index, (example, row) in enumerate(zip(examples, rows, strict=True)):
        input_ids[index, : len(row) - 1] = torch.tensor(row[:-1])
        first = max(len(example.prompt_ids), 1)
        positions += [index * length + at - 1 for at in range(first, len(row))]
        targets += row[first:]
    return Batch(
        input_ids,
        torch.tensor(positions, dtype=torch.int64),
        torch.tensor(targets, dtype=torch.int64),
        sum(len(row) - 1 for row in rows),
    )
