"""Recipes: which method, with which parameters. Checks them without importing torch."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Importing the package registers the built-in methods.
from langmerge.errors import MergeError, did_you_mean
from langmerge.merging import methods as _builtin  # noqa: F401
from langmerge.merging.installed import load_installed_methods
from langmerge.merging.profiles import profile_defaults
from langmerge.merging.registry import SPACES, MethodInfo, Parameter, Spec, registered

__all__ = ["MethodInfo", "Parameter", "Recipe", "Spec", "check_recipe", "method_info", "methods"]

_ENERGY = re.compile(r"energy:(0?\.\d+|1(\.0*)?)")
_COMMON = ("weights", "rank", "space", "seed", "profile", "layer_scales", "protect", "slack")


@dataclass(frozen=True)
class Recipe:
    """A checked recipe: every parameter is present and within bounds.

    Attributes:
        method: the method's own name, never an alias.
        parameters: the method's parameters by their Python names (`lambda_`).
        weights: one per adapter, or None for equal weights.
        rank: `full`, a number, or `energy:SHARE`.
        space: the space the method works in.
        seed: what random masks are drawn from.
        layer_scales: factors on the merge by bands of layers (see `layers`), or None.
        protect: the share of each adapter's entries that is protected (see `protect`), or None.
        slack: how much of a protected entry's size may be lost, as a share.
    """

    method: str
    parameters: Mapping[str, Any]
    weights: tuple[float, ...] | None = None
    rank: int | str = "full"
    space: str = "dense"
    seed: int = 0
    layer_scales: tuple[float, ...] | None = None
    protect: tuple[float, ...] | None = None
    slack: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return the recipe as it is written in YAML and JSON, defaults included."""
        return {
            "method": self.method,
            **{name.rstrip("_"): value for name, value in self.parameters.items()},
            "weights": list(self.weights) if self.weights is not None else None,
            "rank": self.rank,
            "space": self.space,
            "seed": self.seed,
            # Left out where there are none, so that keys of older recipes stay what they are.
            **({"layer_scales": list(self.layer_scales)} if self.layer_scales else {}),
            **({"protect": list(self.protect), "slack": self.slack} if self.protect else {}),
        }

    def as_options(self) -> dict[str, Any]:
        """Return the recipe, but for its method, as the keyword arguments of `merge`."""
        return {
            **self.parameters,
            "weights": self.weights,
            "rank": self.rank,
            "space": self.space,
            "seed": self.seed,
            "layer_scales": self.layer_scales,
            "protect": self.protect,
            "slack": self.slack if self.protect else None,
        }


def methods() -> tuple[MethodInfo, ...]:
    """Return every registered method: name, parameters with defaults and meaning, source."""
    load_installed_methods()
    return registered()


def method_info(name: str) -> MethodInfo:
    """Return the method of that name or alias, in any case, with `-` or `_`.

    Raises:
        MergeError: if there is none.
    """
    wanted = str(name).lower().replace("-", "_")
    by_name = {known: info for info in methods() for known in (info.name, *info.aliases)}
    if wanted not in by_name:
        raise MergeError(
            f"no merging method is named '{name}'{did_you_mean(wanted, by_name)} "
            f"(known: {', '.join(info.name for info in methods())})"
        )
    return by_name[wanted]


def check_recipe(
    method: str, parameters: Mapping[str, Any], n_adapters: int | None = None
) -> Recipe:
    """Return the recipe with the method's own name and all defaults filled in.

    Args:
        method: a method's name or alias.
        parameters: the method's parameters, and optionally `weights`, `rank`, `space`,
            `seed`, `layer_scales`, `protect` and `slack`.
            `lambda` and `lambda_` are the same; None stands for the default. `profile` takes the
            defaults from another tool (see `profiles`).
        n_adapters: how many adapters will be merged, where that is known; without it there may be
            more weights than these, and their sum is not judged.

    Raises:
        MergeError: for an unknown method or key, a wrong type, a value out of bounds, or weights
            that do not fit the adapters or the method.
    """
    info = method_info(method)
    given = {
        "lambda_" if key == "lambda" else key: value
        for key, value in parameters.items()
        if value is not None
    }
    own = {parameter.name: parameter for parameter in info.parameters}
    for key in given:
        if key not in own and key not in _COMMON:
            names = [parameter.key for parameter in info.parameters] + list(_COMMON)
            raise MergeError(
                f"{info.name} has no parameter '{key}'{did_you_mean(key, names)} "
                f"(it takes {', '.join(names)})"
            )
    defaults = profile_defaults(given.get("profile"), info.name)
    given = {**defaults, **given}
    return Recipe(
        method=info.name,
        parameters={
            name: parameter.checked(given.get(name, parameter.default), info.name)
            for name, parameter in own.items()
        },
        weights=_checked_weights(given.get("weights"), info, given, n_adapters),
        rank=_checked_rank(given.get("rank", "full"), info.name),
        space=_checked_space(given.get("space", info.space), info),
        seed=_checked_seed(given.get("seed", 0), info.name),
        layer_scales=_checked_scales(given.get("layer_scales"), info.name),
        protect=_checked_protection(given.get("protect"), info, n_adapters),
        slack=_checked_slack(given, info.name),
    )


def _checked_weights(
    weights: Any, info: MethodInfo, given: Mapping[str, Any], n_adapters: int | None
) -> tuple[float, ...] | None:
    if n_adapters is not None and n_adapters < 1:
        raise MergeError(f"{info.name}: expected at least one adapter to merge, found none")
    if weights is None:
        return None
    if isinstance(weights, str) or not isinstance(weights, Sequence):
        raise MergeError(f"{info.name}: weights is {weights!r}, expected a list of numbers")
    for weight in weights:
        if isinstance(weight, bool) or not isinstance(weight, int | float):
            raise MergeError(f"{info.name}: weight {weight!r} is not a number")
        if not math.isfinite(weight):
            raise MergeError(f"{info.name}: weight {weight!r} is not finite")
        if info.weights == "positive" and weight <= 0:
            raise MergeError(
                f"{info.name}: weight {weight:g} is not positive, and it takes no others; "
                "leave the adapter out, or take linear, where weight 0 does so"
            )
    if n_adapters is not None and len(weights) != n_adapters:
        raise MergeError(
            f"{info.name}: found {len(weights)} weights for {n_adapters} adapters, "
            "expected one per adapter"
        )
    divides = info.weights == "nonzero-sum" and given.get("normalize", True)
    is_whole = n_adapters is not None
    if is_whole and divides and abs(math.fsum(weights)) <= 1e-9 * math.fsum(map(abs, weights)):
        raise MergeError(
            f"{info.name}: the weights add up to 0, and it divides by their sum; "
            "use task_arithmetic to subtract adapters"
        )
    return tuple(float(weight) for weight in weights)


def _checked_rank(rank: Any, method: str) -> int | str:
    if isinstance(rank, int) and not isinstance(rank, bool) and rank >= 1:
        return rank
    if isinstance(rank, str):
        if rank.isdecimal() and int(rank) >= 1:
            return int(rank)
        if rank == "full" or (_ENERGY.fullmatch(rank) and float(rank[7:]) > 0):
            return rank
    raise MergeError(
        f"{method}: rank is {rank!r}, expected 'full', a number from 1, or 'energy:SHARE' with a "
        "share of at most 1 such as 'energy:0.99'"
    )


def _checked_space(space: Any, info: MethodInfo) -> str:
    if space not in SPACES:
        hint = did_you_mean(str(space), SPACES)
        raise MergeError(
            f"{info.name}: space is {space!r}, expected one of {', '.join(SPACES)}{hint}"
        )
    if space not in info.spaces:
        raise MergeError(
            f"{info.name}: space is {space!r}, but it works on whole matrices and only in "
            f"{', '.join(info.spaces)}"
        )
    return str(space)


def _checked_seed(seed: Any, method: str) -> int:
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise MergeError(f"{method}: seed is {seed!r}, expected a whole number from 0")
    return seed


def _checked_scales(scales: Any, method: str) -> tuple[float, ...] | None:
    if scales is None:
        return None
    is_list = isinstance(scales, Sequence) and not isinstance(scales, str) and len(scales) > 0
    if not is_list or not all(
        isinstance(scale, int | float) and not isinstance(scale, bool) and math.isfinite(scale)
        for scale in scales
    ):
        raise MergeError(
            f"{method}: layer_scales is {scales!r}, expected a list of numbers, one for each band "
            "of layers, such as [0.8, 1, 1.2]"
        )
    return tuple(float(scale) for scale in scales)


def _checked_protection(
    shares: Any, info: MethodInfo, n_adapters: int | None
) -> tuple[float, ...] | None:
    if shares is None:
        return None
    if not info.elects:
        electing = ", ".join(method.name for method in methods() if method.elects)
        raise MergeError(
            f"{info.name}: protect needs a method that elects signs, expected one of {electing}"
        )
    is_list = isinstance(shares, Sequence) and not isinstance(shares, str)
    if not is_list or not all(_is_share(share) for share in shares):
        raise MergeError(
            f"{info.name}: protect is {shares!r}, expected one share from 0 to 1 per adapter"
        )
    if n_adapters is not None and len(shares) != n_adapters:
        raise MergeError(
            f"{info.name}: found {len(shares)} shares to protect for {n_adapters} adapters, "
            "expected one per adapter"
        )
    return tuple(float(share) for share in shares) if any(shares) else None


def _checked_slack(given: Mapping[str, Any], method: str) -> float:
    slack = given.get("slack", 0.0)
    if not _is_share(slack):
        raise MergeError(f"{method}: slack is {slack!r}, expected a number from 0 to 1")
    if "slack" in given and "protect" not in given:
        raise MergeError(f"{method}: slack says how far protection may give way; add protect")
    return float(slack)


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0.0 <= value <= 1.0
