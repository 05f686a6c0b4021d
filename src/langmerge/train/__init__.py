"""Encoded rows in, adapters out.

Importing this package imports no torch: the project file needs `langmerge.train.config` alone.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langmerge.train.group import train_adapter, train_adapters
    from langmerge.train.lesson import Lesson, StepTaken, Trainings, TrainResult

_PLACES = {
    "Lesson": "lesson",
    "StepTaken": "lesson",
    "TrainResult": "lesson",
    "Trainings": "lesson",
    "train_adapter": "group",
    "train_adapters": "group",
}

__all__ = ["Lesson", "StepTaken", "TrainResult", "Trainings", "train_adapter", "train_adapters"]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'langmerge.train' has no attribute '{name}'")
    return getattr(import_module(f"langmerge.train.{_PLACES[name]}"), name)
