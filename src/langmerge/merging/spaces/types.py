"""The types that spaces share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from langmerge.merging.vectors import Merged, Product, TaskVector

__all__ = ["Decode", "Merged", "Product", "Space"]

# From the merged coordinates back to the module's task vector.
Decode = Callable[[Tensor], Merged]
# Task vectors to their coordinates and the way back.
Space = Callable[[Sequence[TaskVector]], tuple[list[TaskVector], Decode]]
