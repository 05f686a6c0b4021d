"""Whether tiles are swept by compiled kernels or by torch: decided here and nowhere else.

The kernels (`compiled`) need Numba, the extra `fast`, and a CPU. They give the same bits as torch,
so what is installed and when they are ready changes no result: a large merge loads them in the
background and goes on in torch until they are there.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock, Thread
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from langmerge.cache import cache_folder

# Below this many entries of all adapters together torch is done before Numba is imported.
_MANY = 50_000_000


@dataclass
class State:
    """What this process knows of the kernels.

    Attributes:
        compiled: the module `compiled`, once it is loaded.
        tried: whether loading has been tried.
        cached: whether compiled code can be kept on disk; known before `compiled` is imported.
    """

    compiled: ModuleType | None = None
    tried: bool = False
    cached: bool = True


STATE = State()
_lock = Lock()


def load_for(entries: int) -> None:
    """Load the kernels in the background if a merge of so many entries is worth it.

    Args:
        entries: of all adapters together.
    """
    if entries >= _MANY and not STATE.tried and importlib.util.find_spec("numba"):
        # Not a daemon: at exit a compilation is finished and kept for the next time.
        Thread(target=load, name="langmerge-kernels").start()


def load() -> bool:
    """Compile the kernels, or read them from the cache; return whether there are any.

    There are none without Numba, or where torch multiplies and adds with two roundings (a CPU
    without fused multiply-add), so that bits would differ.
    """
    with _lock:
        if not STATE.tried:
            STATE.tried = True
            if importlib.util.find_spec("numba") and _torch_adds_fused():
                STATE.compiled = _imported()
        return STATE.compiled is not None


def kernels(tensor: Tensor) -> Any:
    """Return the module `compiled` for a tile like `tensor`, or None where torch is to be used."""
    return STATE.compiled if tensor.is_cpu else None


def _imported() -> ModuleType | None:
    """Import `compiled` with Numba's cache in ours, unless the user has chosen another."""
    import numba

    chosen, folder = numba.config.CACHE_DIR, cache_folder() / "numba"
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    STATE.cached = bool(chosen) or os.access(folder, os.W_OK)
    try:
        numba.config.CACHE_DIR = chosen or str(folder)
        from langmerge.merging import compiled
    except (RuntimeError, OSError):  # a cache that cannot be used, or a CPU LLVM does not know
        sys.modules.pop("langmerge.merging.compiled", None)
        return None
    finally:
        numba.config.CACHE_DIR = chosen
    return compiled


def _torch_adds_fused() -> bool:
    """Return whether `add(x, alpha=w)` rounds once; 19 entries have a remainder in any vector."""
    weight = 1.0 + 2.0**-12
    # The product is 1 + 2**-11 + 2**-24, whose last term a rounding of its own would lose.
    found = torch.full((19,), -1.0 - 2.0**-11).add_(torch.full((19,), weight), alpha=weight)
    return bool((found == 2.0**-24).all())
