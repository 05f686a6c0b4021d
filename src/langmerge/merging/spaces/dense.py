"""The dense space: the weights' own coordinates."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from langmerge.merging.spaces.types import Decode
from langmerge.merging.vectors import TaskVector


def dense(vectors: Sequence[TaskVector]) -> tuple[list[TaskVector], Decode]:
    """Return the task vectors as they are; the merge is a dense matrix."""
    return list(vectors), _unchanged


def _unchanged(merged: Tensor) -> Tensor:
    return merged
