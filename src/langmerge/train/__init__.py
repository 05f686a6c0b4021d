"""Encoded rows in, adapter out.

Importing this package imports no torch: the project file needs `langmerge.train.config` alone.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langmerge.train.loop import TrainResult, train_adapter

__all__ = ["TrainResult", "train_adapter"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'langmerge.train' has no attribute '{name}'")
    from langmerge.train import loop

    return getattr(loop, name)
