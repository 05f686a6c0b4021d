"""Merging LoRA adapters: into one adapter, or into the model they adapt.

    merged = merge(["de", "fr", "ja"], method="ties", density=0.5)
    merged.save("merged")
    into_model(["de", "fr", "ja"], base="llama", out="llama-merged", method="ties")

This module imports no torch, so that recipes can be checked and listed quickly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langmerge.merging.registry import Density, Lambda, Normalize, Spec, register
from langmerge.merging.schema import MethodInfo, Parameter, Recipe, check_recipe, methods

if TYPE_CHECKING:
    from langmerge.adapter import Adapter
    from langmerge.merging.preflight import Report

__all__ = [
    "Density",
    "Lambda",
    "MethodInfo",
    "Normalize",
    "Parameter",
    "Recipe",
    "Spec",
    "check_recipe",
    "inspect_adapters",
    "into_model",
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
    layer_scales: Sequence[float] | None = None,
    device: str = "cpu",
    ancestor: Adapter | str | Path | None = None,
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
        layer_scales: factors on the merge, one for each of so many bands of layers.
        device: where modules are merged; results are equal in all bits on one device only.
        ancestor: the adapter that all of them started from, or its folder: their differences to it
            are merged, and it is added back.
        **parameters: the method's own parameters (`density`, `lambda_`, ...); for methods that
            elect signs also `protect`, a share of entries per adapter, and `slack`.

    Returns:
        The merged adapter; its `recipe` records the recipe, versions and the inputs' digests.

    Raises:
        MergeError: if the recipe is wrong or the adapters do not fit together.
        AdapterError: if an adapter cannot be read, or holds NaN or infinity.
    """
    from langmerge.merging import engine

    common = {
        "weights": weights, "rank": rank, "seed": seed, "space": space, "profile": profile,
        "layer_scales": layer_scales,
    }  # fmt: skip
    return engine.merge(
        adapters,
        method,
        parameters | common,
        on_progress=on_progress,
        workers=workers,
        device=device,
        ancestor=ancestor,
    )


def into_model(
    adapters: Sequence[Adapter | str | Path],
    base: str | Path,
    out: str | Path,
    method: str = "ties",
    *,
    weights: Sequence[float] | None = None,
    rank: int | str = "full",
    seed: int = 0,
    space: str | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
    profile: str | None = None,
    layer_scales: Sequence[float] | None = None,
    device: str = "cpu",
    ancestor: Adapter | str | Path | None = None,
    **parameters: Any,
) -> Path:
    """Merge LoRA adapters and write base plus merge as a checkpoint for plain transformers.

    The base is streamed tensor by tensor; each changed weight is computed in fp32 and rounded once
    to its own dtype. Where the base ties embedding and head and the adapters change only one of
    them, the output holds both.

    Args:
        adapters: the adapters, or their folders.
        base: the folder of the base model's safetensors checkpoint.
        out: the folder to write; it must be empty or absent.
        method: a method's name or alias; see `methods`.
        weights: as for `merge`.
        rank: as for `merge`; `full` loses nothing.
        seed: as for `merge`.
        space: as for `merge`.
        on_progress: called with (tensors done, tensors in all).
        workers: as for `merge`.
        profile: as for `merge`.
        layer_scales: as for `merge`.
        device: as for `merge`.
        ancestor: as for `merge`.
        **parameters: the method's own parameters.

    Returns:
        The folder.

    Raises:
        MergeError: if the recipe is wrong, or adapters and base do not fit together.
        AdapterError: if an adapter cannot be read, or holds NaN or infinity.
        StorageError: if the folder holds something or cannot be written.
    """
    from langmerge.merging import full_model

    common = {
        "weights": weights, "rank": rank, "seed": seed, "space": space, "profile": profile,
        "layer_scales": layer_scales,
    }  # fmt: skip
    return full_model.into_model(
        adapters,
        base,
        out,
        method,
        parameters | common,
        on_progress=on_progress,
        workers=workers,
        device=device,
        ancestor=ancestor,
    )


def inspect_adapters(
    adapters: Sequence[Adapter | str | Path], ancestor: Adapter | str | Path | None = None
) -> Report:
    """Say what adapters are and whether they merge, from configurations and headers alone.

    With an ancestor, also whether they can have started from it.
    """
    from langmerge.merging.preflight import inspect

    return inspect(adapters, ancestor)
