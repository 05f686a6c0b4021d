"""Merging LoRA adapters into one adapter.

    merged = merge(["de", "fr", "ja"], method="ties", density=0.5)
    merged.save("merged")

This module imports no torch, so that recipes can be checked and listed quickly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langmerge.merge.registry import Density, Lambda, Normalize, Spec, register
from langmerge.merge.schema import MethodInfo, Parameter, Recipe, check_recipe, methods

if TYPE_CHECKING:
    from langmerge.adapter import Adapter

__all__ = [
    "Density",
    "Lambda",
    "MethodInfo",
    "Normalize",
    "Parameter",
    "Recipe",
    "Spec",
    "check_recipe",
    "merge",
    "methods",
    "register",
]


def merge(
    adapters: Sequence[Adapter | str | Path],
    method: str = "ties",
    *,
    weights: Sequence[float] | None = None,
    rank: int | str = "full",
    seed: int = 0,
    space: str | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
    profile: str | None = None,
    **parameters: Any,
) -> Adapter:
    """Merge LoRA adapters of one base model into one adapter.

    The result depends on the adapters' contents, the recipe and the seed: not on the adapters'
    order or places, nor on the number of threads.

    Args:
        adapters: the adapters, or their folders.
        method: a method's name or alias; see `methods`.
        weights: one number per adapter; equal by default.
        rank: `full` for the exact merge at the rank it needs, a number for the best adapter of
            that rank, or `energy:0.99` for the smallest rank that keeps that share.
        seed: what random masks are drawn from.
        space: `dense`, `svd` or `core`; the method's own by default.
        on_progress: called with (modules done, modules in all).
        workers: how many modules are merged at a time; as many as there are cores by default.
        profile: `mergekit` or `knots`, to take the defaults of that tool.
        **parameters: the method's own parameters (`density`, `lambda_`, ...).

    Returns:
        The merged adapter; its `recipe` records the recipe, versions and the inputs' digests.

    Raises:
        MergeError: if the recipe is wrong or the adapters do not fit together.
        AdapterError: if an adapter cannot be read, or holds NaN or infinity.
    """
    from langmerge.merge import engine

    common = {"weights": weights, "rank": rank, "seed": seed, "space": space, "profile": profile}
    return engine.merge(adapters, method, parameters | common, on_progress, workers)
