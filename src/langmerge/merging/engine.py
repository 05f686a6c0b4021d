"""Merging: adapters and a recipe in, one adapter out."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from langmerge.adapter import Adapter, LoraFactors
from langmerge.merging.compress import Compressed, exact, to_energy, to_rank
from langmerge.merging.merger import Merger, MergeWarning
from langmerge.merging.threads import map_threads
from langmerge.merging.vectors import Merged, Product

__all__ = ["MergeWarning", "merge"]

# Below this share of the energy a compressed merge is no longer the merge that was asked for.
_ENOUGH_ENERGY = 0.95
# An exact dense merge is as large as the weights it changes; above this it is worth a word.
_MANY_BYTES = 2 << 30


def merge(
    adapters: Sequence[Adapter | str | Path],
    method: str,
    options: Mapping[str, Any],
    *,
    on_progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
    device: str = "cpu",
    ancestor: Adapter | str | Path | None = None,
) -> Adapter:
    """Merge adapters into one; see `langmerge.merging.merge`.

    Args:
        adapters: the adapters, or their folders.
        method: a method's name or alias.
        options: the method's parameters, and weights, rank, space, seed and profile.
        on_progress: called with (modules done, modules in all).
        workers: how many modules are merged at a time; as many as there are cores by default.
        device: where the modules are merged.
        ancestor: the adapter that all of them started from.
    """
    merger = Merger(adapters, method, options, workers, device, ancestor=ancestor)

    def merge_one(module: str) -> Compressed:
        product, energy, kept = at_rank(merger.module(module), merger.recipe.rank)
        return Compressed(Product(product.b.cpu(), product.a.cpu()), energy, kept)

    merged: dict[str, Compressed] = {}
    results = map_threads(merge_one, merger.modules, merger.workers)
    for module, result in zip(merger.modules, results, strict=True):
        merged[module] = result
        if on_progress is not None:
            on_progress(len(merged), len(merger.modules))
    inputs = merger.adapters
    _warn_of_size(merged)
    return Adapter.from_factors(
        # The scale is 1 and alpha equals the rank: every consumer computes the same delta.
        {name: LoraFactors(a=m.product.a, b=m.product.b) for name, m in merged.items()},
        base_model=_common([a.base_model for a in inputs]),
        revision=_common([a.revision for a in inputs]),
        task_type=_common([a.config.get("task_type") for a in inputs]) or "CAUSAL_LM",
        embeddings={module for a in inputs for module in a.embeddings},
        extras=merger.extras,
        fan_in_fan_out=bool(inputs[0].config.get("fan_in_fan_out")),
        recipe=merger.provenance() | kept_energy(merged, merger.recipe.rank),
    )


def at_rank(merged: Merged, rank: int | str) -> Compressed:
    """Write a merged task vector as factors of the rank that a recipe asks for."""
    if rank == "full":
        return Compressed(exact(merged), 1.0, 1.0)
    if isinstance(rank, str):
        return to_energy(merged, float(rank.removeprefix("energy:")))
    return to_rank(merged, rank)


def kept_energy(merged: Mapping[str, Compressed], rank: int | str) -> dict[str, Any]:
    """Return the record of what compression kept; warns if that is little."""
    if rank == "full":
        return {}
    energy = math.fsum(m.energy for m in merged.values())
    total = math.fsum(m.kept for m in merged.values()) / energy if energy else 1.0
    if total < _ENOUGH_ENERGY:
        warnings.warn(
            f"rank {rank} keeps {total:.1%} of the merge's energy; raise the rank, or "
            "use rank='full' for the exact merge",
            MergeWarning,
            stacklevel=4,
        )
    shares = {name: round(m.kept / m.energy, 6) if m.energy else 1.0 for name, m in merged.items()}
    return {"kept_energy": {"total": round(total, 6), "modules": shares}}


def _warn_of_size(merged: Mapping[str, Compressed]) -> None:
    size = sum(m.product.a.nbytes + m.product.b.nbytes for m in merged.values())
    if size > _MANY_BYTES:
        warnings.warn(
            f"the exact merge takes {size / 2**30:.1f} GiB, about as much as the weights it "
            "changes; give a rank for a smaller adapter, or merge into the model",
            MergeWarning,
            stacklevel=4,
        )


def _common(values: Sequence[str | None]) -> str | None:
    """Return the first value in sort order: several spellings must not depend on input order."""
    return min((value for value in values if value), default=None)
