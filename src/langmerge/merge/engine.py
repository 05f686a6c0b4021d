"""Merging: adapters and a recipe in, one adapter out."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import torch

from langmerge.adapter import Adapter, LoraFactors
from langmerge.merge.composition import Composition, merge_entries
from langmerge.merge.compress import exact, to_energy, to_rank
from langmerge.merge.extras import merge_extras
from langmerge.merge.preflight import check_mergeable
from langmerge.merge.random import mask_key
from langmerge.merge.schema import Recipe, check_recipe, method_info
from langmerge.merge.spaces import SPACES
from langmerge.merge.spaces.types import Merged, Product
from langmerge.merge.threads import default_workers, map_threads
from langmerge.merge.vectors import TaskVector

# Below this share of the energy a compressed merge is no longer the merge that was asked for.
_ENOUGH_ENERGY = 0.95


class MergeWarning(UserWarning):
    """Something about a merge that is allowed and seldom meant."""


class _Weighted(NamedTuple):
    """An adapter and its weight in the merge."""

    adapter: Adapter
    weight: float


class _Module(NamedTuple):
    """The merge of one module."""

    factors: LoraFactors
    energy: float
    kept: float


def merge(
    adapters: Sequence[Adapter | str | Path],
    method: str,
    options: Mapping[str, Any],
    on_progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
) -> Adapter:
    """Merge adapters into one; see `langmerge.merge.merge`.

    Args:
        adapters: the adapters, or their folders.
        method: a method's name or alias.
        options: the method's parameters, and weights, rank, space and seed.
        on_progress: called with (modules done, modules in all).
        workers: how many modules are merged at a time; as many as there are cores by default.
    """
    recipe = check_recipe(method, options, len(adapters))
    opened = [a if isinstance(a, Adapter) else Adapter.load(a) for a in adapters]
    check_mergeable(opened)
    workers = workers or default_workers()
    inputs = _in_canonical_order(opened, recipe, workers)
    extras = merge_extras([x.adapter for x in inputs])
    composition = method_info(recipe.method).build(**recipe.parameters)
    modules = sorted({module for x in inputs for module in x.adapter.modules})

    def merge_one(module: str) -> _Module:
        return _merge_module(module, inputs, composition, recipe)

    merged: dict[str, _Module] = {}
    for module, result in zip(modules, map_threads(merge_one, modules, workers), strict=True):
        merged[module] = result
        if on_progress is not None:
            on_progress(len(merged), len(modules))
    first = opened[0]
    return Adapter.from_factors(
        {module: result.factors for module, result in merged.items()},
        base_model=_common([x.adapter.base_model for x in inputs]),
        revision=_common([x.adapter.revision for x in inputs]),
        task_type=_common([x.adapter.config.get("task_type") for x in inputs]) or "CAUSAL_LM",
        embeddings={module for x in inputs for module in x.adapter.embeddings},
        extras=extras,
        fan_in_fan_out=bool(first.config.get("fan_in_fan_out")),
        recipe=_provenance(recipe, inputs, merged),
    )


def _in_canonical_order(
    adapters: Sequence[Adapter], recipe: Recipe, workers: int
) -> list[_Weighted]:
    """Sort adapters by content, so that the order they are named in changes no bit of the result.

    Digests read every tensor, which also finds NaN before anything is merged.
    """
    digests = list(map_threads(lambda adapter: adapter.digest, adapters, workers))
    weights = recipe.weights or (1.0,) * len(adapters)
    order = sorted(range(len(adapters)), key=lambda i: (digests[i], weights[i]))
    for one, two in itertools.pairwise(order):
        if digests[one] == digests[two]:
            warnings.warn(
                f"{adapters[one].source} and {adapters[two].source} have the same content; the "
                "adapter counts twice",
                MergeWarning,
                stacklevel=4,
            )
    return [_Weighted(adapters[i], weights[i]) for i in order]


def _merge_module(
    module: str, inputs: Sequence[_Weighted], composition: Composition, recipe: Recipe
) -> _Module:
    """Merge one module; an adapter that does not adapt it has a task vector of zero there."""
    vectors = [_task_vector(x, module, recipe.seed) for x in inputs if module in x.adapter.shapes]
    total_weight = math.fsum(x.weight for x in inputs)
    merged: Merged
    if composition.linear and recipe.space == "dense":
        merged = _weighted_sum(vectors, composition, total_weight)
    else:
        coordinates, decode = SPACES[recipe.space](vectors)
        merged = decode(merge_entries(coordinates, composition, total_weight))
    product, energy, kept = _to_rank(merged, recipe.rank)
    # The scale is 1 and alpha equals the rank: every consumer computes the same delta.
    return _Module(LoraFactors(a=product.a, b=product.b), energy, kept)


def _task_vector(x: _Weighted, module: str, seed: int) -> TaskVector:
    factors = x.adapter.factors(module)
    return TaskVector(
        b=factors.b.to(torch.float32) * factors.scale,
        a=factors.a.to(torch.float32),
        weight=x.weight,
        key=mask_key(seed, x.adapter.digest, module),
    )


def _weighted_sum(
    vectors: Sequence[TaskVector], composition: Composition, total_weight: float
) -> Product:
    """Merge linearly in factor space: `sum c_i b_i a_i = [c_1 b_1 ... c_n b_n] [a_1; ...; a_n]`."""
    everyone = torch.tensor(total_weight)
    share = [
        float(composition.combine(torch.tensor(v.weight), everyone)) * composition.scale
        for v in vectors
    ]
    b = torch.cat([vector.b * c for vector, c in zip(vectors, share, strict=True)], dim=1)
    return Product(b=b, a=torch.cat([vector.a for vector in vectors], dim=0))


def _to_rank(merged: Merged, rank: int | str) -> tuple[Product, float, float]:
    """Write a merged task vector as factors; also its energy and the energy they keep."""
    if rank == "full":
        return exact(merged), 1.0, 1.0
    if isinstance(rank, str):
        return to_energy(merged, float(rank.removeprefix("energy:")))
    return to_rank(merged, rank)


def _provenance(
    recipe: Recipe, inputs: Sequence[_Weighted], merged: Mapping[str, _Module]
) -> dict[str, Any]:
    """Return what `langmerge_recipe.json` records; warns if a compressed merge lost much."""
    record: dict[str, Any] = {
        "recipe": recipe.as_dict() | {"weights": [x.weight for x in inputs]},
        "adapters": [x.adapter.digest for x in inputs],
        "versions": {"langmerge": _own_version(), "torch": torch.__version__},
    }
    if recipe.rank != "full":
        energy = math.fsum(m.energy for m in merged.values())
        total = math.fsum(m.kept for m in merged.values()) / energy if energy else 1.0
        record["kept_energy"] = {
            "total": round(total, 6),
            "modules": {
                name: round(m.kept / m.energy, 6) if m.energy else 1.0 for name, m in merged.items()
            },
        }
        if total < _ENOUGH_ENERGY:
            warnings.warn(
                f"rank {recipe.rank} keeps {total:.1%} of the merge's energy; raise the rank, or "
                "use rank='full' for the exact merge",
                MergeWarning,
                stacklevel=4,
            )
    return record


def _common(values: Sequence[str | None]) -> str | None:
    """Return the first value in sort order: several spellings must not depend on input order."""
    return min((value for value in values if value), default=None)


def _own_version() -> str:
    try:
        return version("langmerge")
    except PackageNotFoundError:  # run from a source tree
        return "unknown"
