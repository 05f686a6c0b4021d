"""Running out of memory: told apart from other errors, and answered by holding less at once."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TypeVar

import torch

T = TypeVar("T")

_CPU_ALLOCATOR = "DefaultCPUAllocator"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory, of the machine or of a GPU, is used up."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and _CPU_ALLOCATOR in str(error)
    )


def release_memory() -> None:
    """Give back what is no longer used; call it outside `except`, whose traceback holds tensors."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def halving(attempt: Callable[[int], T], size: int) -> tuple[T, int]:
    """Return `attempt(size)`, halving the size as often as memory runs out, and the size it took.

    Args:
        attempt: does the whole work, holding no more than its argument at once; called again from
            the start after a failure.
        size: what to begin with, at least 1.

    Raises:
        RuntimeError: the last error, if memory runs out at size 1.
    """
    while True:
        try:
            return attempt(size), size
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or size == 1:
                raise
        size = max(size // 2, 1)
        release_memory()
