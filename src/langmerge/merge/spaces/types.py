"""The types that spaces share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import Tensor

from langmerge.merge.vectors import TaskVector


class Product(NamedTuple):
    """A matrix as a product, `b @ a`; `b` is `[rows, rank]` and `a` is `[rank, columns]`."""

    b: Tensor
    a: Tensor


# A merged task vector: dense where no smaller form is known.
Merged = Tensor | Product
# From the merged coordinates back to the module's task vector.
Decode = Callable[[Tensor], Merged]
# Task vectors to their coordinates and the way back.
Space = Callable[[Sequence[TaskVector]], tuple[list[TaskVector], Decode]]
