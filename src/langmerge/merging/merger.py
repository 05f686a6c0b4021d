"""A merge in progress: checked inputs on one side, merged modules, one at a time, on the other.

What becomes of a merged module (factors of an adapter, weights of a checkpoint) is decided by
`engine` and `full_model`.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import torch

from langmerge.adapter import Adapter
from langmerge.errors import MergeError
from langmerge.merging.composition import Composition, WholeModule, merge_entries
from langmerge.merging.extras import merge_extras
from langmerge.merging.factorize import side_by_side
from langmerge.merging.kernels import load_for
from langmerge.merging.layers import scales_by_module
from langmerge.merging.preflight import check_mergeable
from langmerge.merging.random import mask_key
from langmerge.merging.schema import check_recipe, method_info
from langmerge.merging.spaces import SPACES
from langmerge.merging.spaces.types import Decode
from langmerge.merging.threads import default_workers, map_threads
from langmerge.merging.vectors import Merged, Product, TaskVector


class MergeWarning(UserWarning):
    """Something about a merge that is allowed and seldom meant."""


class Weighted(NamedTuple):
    """An adapter and its weight in the merge."""

    adapter: Adapter
    weight: float


class Merger:
    """Adapters that fit together, and a recipe.

    Attributes:
        recipe: the checked recipe.
        inputs: the adapters and their weights, in an order that depends on their contents alone.
        modules: the modules that any of them adapts, sorted.
        extras: the tensors beside LoRA factors that all of them have.
        workers: how many modules are merged at a time.
        device: where they are merged.
    """

    def __init__(
        self,
        adapters: Sequence[Adapter | str | Path],
        method: str,
        options: Mapping[str, Any],
        workers: int | None = None,
        device: str = "cpu",
    ) -> None:
        """Check the recipe and the adapters' headers, then read the adapters once.

        Raises:
            MergeError: if the recipe is wrong or the adapters do not fit together.
            AdapterError: if an adapter cannot be read, or holds NaN or infinity.
        """
        self.recipe = check_recipe(method, options, len(adapters))
        opened = [a if isinstance(a, Adapter) else Adapter.load(a) for a in adapters]
        check_mergeable(opened)
        self.device = _checked_device(device)
        # One module at a time fills a GPU.
        if self.device.type == "cpu":
            load_for(sum(s.out_features * s.in_features for a in opened for s in a.shapes.values()))
        self.workers = workers or (default_workers() if self.device.type == "cpu" else 1)
        self.inputs = self._in_canonical_order(opened)
        self.extras = merge_extras(self.adapters)
        self.modules = sorted({module for a in self.adapters for module in a.modules})
        self._scales = scales_by_module(self.modules, self.recipe.layer_scales or (1.0,))
        self._method = method_info(self.recipe.method).build(**self.recipe.parameters)
        self._statistics = self._survey()

    @property
    def adapters(self) -> list[Adapter]:
        """The adapters without their weights."""
        return [x.adapter for x in self.inputs]

    def module(self, module: str) -> Merged:
        """Merge one module; an adapter that does not adapt it has a task vector of zero there."""
        merged = self._merged(module)
        return merged if (scale := self._scales[module]) == 1.0 else _scaled(merged, scale)

    def _merged(self, module: str) -> Merged:
        total_weight = math.fsum(x.weight for x in self.inputs)
        if isinstance(self._method, WholeModule):
            return self._method.merge(self._task_vectors(module), total_weight)
        if self._method.linear and self.recipe.space == "dense":
            return _weighted_sum(self._task_vectors(module), self._method, total_weight)
        coordinates, decode = self._coordinates(module)
        return decode(merge_entries(coordinates, self._method, total_weight))

    def provenance(self) -> dict[str, Any]:
        """Return what a merge records of itself: recipe, inputs' digests, versions."""
        weights = [x.weight for x in self.inputs]
        return {
            "recipe": self.recipe.as_dict() | {"weights": weights},
            "adapters": [x.adapter.digest for x in self.inputs],
            "versions": {"langmerge": _own_version(), "torch": torch.__version__},
        }

    def _in_canonical_order(self, adapters: Sequence[Adapter]) -> list[Weighted]:
        """Sort adapters by content, so that the order they are named in changes no bit.

        Digests read every tensor, which also finds NaN before anything is merged.
        """
        digests = list(map_threads(lambda adapter: adapter.digest, adapters, self.workers))
        weights = self.recipe.weights or (1.0,) * len(adapters)
        order = sorted(range(len(adapters)), key=lambda i: (digests[i], weights[i]))
        for one, two in itertools.pairwise(order):
            if digests[one] == digests[two]:
                warnings.warn(
                    f"{adapters[one].source} and {adapters[two].source} have the same content; "
                    "the adapter counts twice",
                    MergeWarning,
                    stacklevel=5,
                )
        return [Weighted(adapters[i], weights[i]) for i in order]

    def _task_vectors(self, module: str) -> list[TaskVector]:
        return [
            _task_vector(x, module, self.recipe.seed, self.device)
            for x in self.inputs
            if module in x.adapter.shapes
        ]

    def _coordinates(self, module: str) -> tuple[list[TaskVector], Decode]:
        """Return a module's task vectors in the recipe's space, and the way back."""
        coordinates, decode = SPACES[self.recipe.space](self._task_vectors(module))
        found = [replace(v, statistic=self._statistics.get(v.owner)) for v in coordinates]
        return found, decode

    def _survey(self) -> dict[str, float]:
        """Return the statistic of every adapter, where the method asks for one."""
        self._statistics = {}
        if not isinstance(self._method, Composition) or self._method.survey is None:
            return {}
        survey, found = self._method.survey, {}
        for adapter in self.adapters:
            found[adapter.digest] = survey(partial(self._vectors_of, adapter.digest))
        return found

    def _vectors_of(self, owner: str) -> Iterator[TaskVector]:
        """Yield one adapter's task vectors in the recipe's space, a module at a time."""
        for module in self.modules:
            yield from (v for v in self._coordinates(module)[0] if v.owner == owner)


def _scaled(merged: Merged, scale: float) -> Merged:
    if isinstance(merged, Product):
        return Product(merged.b * scale, merged.a)
    return merged * scale


def _checked_device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise MergeError(f"device is {name!r}, which torch cannot use ({reason})") from error
    return device


def _task_vector(x: Weighted, module: str, seed: int, device: torch.device) -> TaskVector:
    factors = x.adapter.factors(module)
    return TaskVector(
        b=factors.b.to(device, torch.float32) * factors.scale,
        a=factors.a.to(device, torch.float32),
        weight=x.weight,
        key=mask_key(seed, x.adapter.digest, module),
        owner=x.adapter.digest,
    )


def _weighted_sum(
    vectors: Sequence[TaskVector], composition: Composition, total_weight: float
) -> Product:
    """Merge linearly in factor space: `sum c_i b_i a_i = [c_1 b_1 ... c_n b_n] [a_1; ...; a_n]`."""
    everyone = torch.tensor(total_weight)
    shares = [
        float(composition.combine(torch.tensor(v.weight), everyone)) * composition.scale
        for v in vectors
    ]
    return side_by_side([replace(v, weight=c) for v, c in zip(vectors, shares, strict=True)])


def _own_version() -> str:
    try:
        return version("langmerge")
    except PackageNotFoundError:  # run from a source tree
        return "unknown"
