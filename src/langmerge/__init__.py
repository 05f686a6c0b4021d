"""Train one LoRA adapter per language, merge them into one model, keep it up language by language.

Importing this package imports no torch; the names below load what they need on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langmerge.adapter import Adapter
    from langmerge.merging import inspect_adapters, into_model, merge, methods
    from langmerge.project import load_project

__version__ = "0.1.0"

_LAZY = {
    "Adapter": "langmerge.adapter",
    "inspect_adapters": "langmerge.merging",
    "into_model": "langmerge.merging",
    "load_project": "langmerge.project",
    "merge": "langmerge.merging",
    "methods": "langmerge.merging",
}

__all__ = [
    "Adapter",
    "__version__",
    "inspect_adapters",
    "into_model",
    "load_project",
    "merge",
    "methods",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'langmerge' has no attribute '{name}'")
    return getattr(import_module(_LAZY[name]), name)
