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

from langmerge.adapter import Adapter, LoraFactors
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

# Shares are quotients in float32; their sum is one if it is nearer to it than this.
_FLOAT32_NOISE = 1e-6


class MergeWarning(UserWarning):
    """Something about a merge that is allowed and seldom meant."""


class Weighted(NamedTuple):
    """An adapter, its weight in the merge, and the share of its entries that is protected."""

    adapter: Adapter
    weight: float
    protected: float = 0.0


class Merger:
    """Adapters that fit together, and a recipe.

    With an ancestor `s_0 B_0 A_0`, from which all adapters were trained on, what is merged is how
    far each has come from it, `s B A - s_0 B_0 A_0 = [s B, -s_0 B_0] [A; A_0]`, and the ancestor
    is added to what comes out.

    Attributes:
        recipe: the checked recipe.
        ancestor: the adapter that all of them started from, or None.
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
        *,
        ancestor: Adapter | str | Path | None = None,
    ) -> None:
        """Check the recipe and the adapters' headers, then read the adapters once.

        Raises:
            MergeError: if the recipe is wrong or the adapters do not fit together.
            AdapterError: if an adapter cannot be read, or holds NaN or infinity.
        """
        self.recipe = check_recipe(method, options, len(adapters))
        opened = [_opened(adapter) for adapter in adapters]
        self.ancestor = None if ancestor is None else _opened(ancestor)
        check_mergeable(opened, self.ancestor)
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
        if self.recipe.protect and isinstance(self._method, Composition):
            self._method = replace(self._method, slack=self.recipe.slack)
        self._statistics = self._survey()

    @property
    def adapters(self) -> list[Adapter]:
        """The adapters without their weights."""
        return [x.adapter for x in self.inputs]

    def module(self, module: str) -> Merged:
        """Merge one module; an adapter that does not adapt it has a task vector of zero there."""
        total_weight, scale = math.fsum(x.weight for x in self.inputs), self._scales[module]
        origin, method = self._origin(module), self._method
        if isinstance(method, Composition) and method.linear and self.recipe.space == "dense":
            method = replace(method, scale=method.scale * scale)
            return _weighted_sum(self._changes(module), method, total_weight, origin)
        merged = self._merged(module, total_weight)
        return _plus(merged if scale == 1.0 else _scaled(merged, scale), origin)

    def _merged(self, module: str, total_weight: float) -> Merged:
        """Merge one module's task vectors."""
        if isinstance(self._method, WholeModule):
            return self._method.merge(self._task_vectors(module), total_weight)
        coordinates, decode = self._coordinates(module)
        return decode(merge_entries(coordinates, self._method, total_weight))

    def provenance(self) -> dict[str, Any]:
        """Return what a merge records of itself: recipe, inputs' digests, versions."""
        own: dict[str, Any] = {"weights": [x.weight for x in self.inputs]}
        if self.recipe.protect:
            own["protect"] = [x.protected for x in self.inputs]
        return {
            "recipe": self.recipe.as_dict() | own,
            "adapters": [x.adapter.digest for x in self.inputs],
            **({} if self.ancestor is None else {"ancestor": self.ancestor.digest}),
            "versions": {"langmerge": _own_version(), "torch": torch.__version__},
        }

    def _in_canonical_order(self, adapters: Sequence[Adapter]) -> list[Weighted]:
        """Sort adapters by content, so that the order they are named in changes no bit.

        Digests read every tensor, which also finds NaN before anything is merged.
        """
        digests = list(map_threads(lambda adapter: adapter.digest, adapters, self.workers))
        weights = self.recipe.weights or (1.0,) * len(adapters)
        shares = self.recipe.protect or (0.0,) * len(adapters)
        order = sorted(range(len(adapters)), key=lambda i: (digests[i], weights[i], shares[i]))
        for one, two in itertools.pairwise(order):
            if digests[one] == digests[two]:
                warnings.warn(
                    f"{adapters[one].source} and {adapters[two].source} have the same content; "
                    "the adapter counts twice",
                    MergeWarning,
                    stacklevel=5,
                )
        return [Weighted(adapters[i], weights[i], shares[i]) for i in order]

    def _task_vectors(self, module: str) -> list[TaskVector]:
        """Return what is merged: the adapters' changes, or their differences to the ancestor."""
        origin, changes = self._origin(module), self._changes(module)
        return changes if origin is None else [_minus(change, origin) for change in changes]

    def _origin(self, module: str) -> Product | None:
        """Return the ancestor's change of a module; None where it makes none."""
        if self.ancestor is None or module not in self.ancestor.shapes:
            return None
        change = _change(self.ancestor.factors(module), self.device)
        return change if bool(change.b.any()) else None

    def _changes(self, module: str) -> list[TaskVector]:
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


def _opened(adapter: Adapter | str | Path) -> Adapter:
    return adapter if isinstance(adapter, Adapter) else Adapter.load(adapter)


def _checked_device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise MergeError(f"device is {name!r}, which torch cannot use ({reason})") from error
    return device


def _task_vector(x: Weighted, module: str, seed: int, device: torch.device) -> TaskVector:
    change = _change(x.adapter.factors(module), device)
    return TaskVector(
        b=change.b,
        a=change.a,
        weight=x.weight,
        key=mask_key(seed, x.adapter.digest, module),
        owner=x.adapter.digest,
        protected=x.protected,
    )


def _change(factors: LoraFactors, device: torch.device) -> Product:
    """Return a module's change as float32 factors, the scale folded into the first."""
    b = factors.b.to(device, torch.float32) * factors.scale
    return Product(b=b, a=factors.a.to(device, torch.float32))


def _minus(vector: TaskVector, origin: Product) -> TaskVector:
    """Return `b a - b_0 a_0` in factors: `[b, -b_0] [a; a_0]`."""
    b = torch.cat([vector.b, -origin.b], dim=1)
    return replace(vector, b=b, a=torch.cat([vector.a, origin.a], dim=0))


def _plus(merged: Merged, origin: Product | None) -> Merged:
    if origin is None:
        return merged
    if isinstance(merged, Product):
        b = torch.cat([merged.b, origin.b], dim=1)
        return Product(b=b, a=torch.cat([merged.a, origin.a], dim=0))
    return torch.addmm(merged, origin.b, origin.a)


def _weighted_sum(
    vectors: Sequence[TaskVector],
    composition: Composition,
    total_weight: float,
    origin: Product | None,
) -> Product:
    """Merge linearly in factor space: `sum c_i b_i a_i = [c_1 b_1 ... c_n b_n] [a_1; ...; a_n]`.

    With an ancestor, `d_0 + sum c_i (d_i - d_0) = sum c_i d_i + (1 - sum c_i) d_0`: its factors
    enter once, and not at all where the shares add up to one.
    """
    everyone = torch.tensor(total_weight)
    shares = [
        float(composition.combine(torch.tensor(v.weight), everyone)) * composition.scale
        for v in vectors
    ]
    parts = [replace(v, weight=c) for v, c in zip(vectors, shares, strict=True)]
    rest = 1.0 - math.fsum(shares)
    if origin is not None and abs(rest) > _FLOAT32_NOISE:
        parts.append(TaskVector(b=origin.b, a=origin.a, weight=rest))
    return side_by_side(parts)


def _own_version() -> str:
    try:
        return version("langmerge")
    except PackageNotFoundError:  # run from a source tree
        return "unknown"
