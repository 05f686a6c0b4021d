"""Several processes that train the same adapters, each on its share of every batch.

Started by `accelerate launch` or `torchrun`, every process makes the same calls. Each puts its part
of a micro-batch through the model; gradients, losses and counts are added up before the step, so
that all take the same step, of the whole batch. Whatever depends on a clock, or on a device's
rounding, is decided by the first process.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, distributed

T = TypeVar("T")


class Team:
    """The processes of this training; one, unless they were launched as several.

    Attributes:
        size: how many there are.
        rank: the number of this one.
    """

    def __init__(self) -> None:
        if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not distributed.is_initialized():
            from accelerate import PartialState  # type: ignore[import-untyped]

            PartialState()  # opens the connection that fits the device
        together = distributed.is_available() and distributed.is_initialized()
        self.size: int = distributed.get_world_size() if together else 1
        self.rank: int = distributed.get_rank() if together else 0

    def part(self, rows: Sequence[T]) -> list[T]:
        """Return this process's part of a batch; it may be empty."""
        return list(rows[self.rank :: self.size])

    def add_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Add up the gradients of all processes."""
        if self.size == 1:
            return
        grads = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
        whole = torch.cat([grad.flatten() for grad in grads])
        distributed.all_reduce(whole)
        parts = torch.split(whole, [grad.numel() for grad in grads])
        for parameter, grad in zip(parameters, parts, strict=True):
            parameter.grad = grad.view(parameter.shape)

    def added(self, values: Tensor) -> Tensor:
        """Return the sum of the processes' values."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def any(self, happened: bool, device: torch.device) -> bool:
        """Return whether something happened to any process."""
        if self.size == 1:
            return happened
        return bool(self.added(torch.tensor(float(happened), device=device)).item())

    def agreed(self, value: T) -> T:
        """Return the first process's value."""
        if self.size == 1:
            return value
        holder = [value]
        distributed.broadcast_object_list(holder)
        return holder[0]
