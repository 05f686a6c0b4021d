"""Candidate recipes: where a sweep looks, read from the methods' own schemas."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Any

from pydantic import ValidationError

from langmerge.canonical import digest_of
from langmerge.errors import MergeError, did_you_mean
from langmerge.merging.registry import SPACES, MethodInfo
from langmerge.merging.schema import Recipe, method_info, methods
from langmerge.project import RecipeSettings

DENSITIES = (0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
"""Densities of the default grid."""

STEPS = (0.6, 0.8, 1.25, 1.6)
"""By what the best candidates' lambda is multiplied in the second round."""

_NAMES = {"density": "density", "lambda_": "lambda"}


@dataclass(frozen=True)
class Candidate:
    """A recipe to be measured.

    Attributes:
        settings: as an entry of `merge:` in the project file.
        name: what a project calls it, if it is one of the project's recipes.
    """

    settings: Mapping[str, Any] = field(hash=False)
    name: str | None = None

    def recipe(self, languages: Sequence[str], seed: int = 0) -> Recipe:
        """Return the complete recipe for adapters in the order of `languages`.

        Raises:
            MergeError: if the settings are wrong.
        """
        try:
            settings = RecipeSettings(**self.settings)
        except ValidationError as error:
            raise MergeError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None
        return settings.checked(languages, seed)

    def key(self, languages: Sequence[str], seed: int = 0) -> str:
        """Return the digest of what it does, in whatever words: KnOTS is TIES in another space."""
        recipe = self.recipe(languages, seed)
        build = method_info(recipe.method).build
        own: dict[str, Any] = {"method": f"{build.__module__}.{build.__qualname__}"}
        for name in ("weights", "protect"):
            if (values := getattr(recipe, name)) is not None:
                own[name] = dict(zip(languages, values, strict=True))
        return digest_of({**recipe.as_dict(), **own})

    @cached_property
    def label(self) -> str:
        """The recipe in one line, without what is its method's default."""
        info = method_info(self.settings["method"])
        defaults = {p.key: p.default for p in info.parameters}
        defaults |= {"rank": "full", "space": info.space}
        parts = [info.name]
        for key, value in self.settings.items():
            if key not in ("method", "seed") and value != defaults.get(key, ...):
                parts.append(f"{key}={_text(value)}")
        return " ".join(parts)


def grid(
    adapters: int,
    *,
    only: Iterable[str] = (),
    densities: Sequence[float] = (),
    lambdas: Sequence[float] = (),
    spaces: Sequence[str] = (),
    ranks: Sequence[int | str] = (),
) -> list[Candidate]:
    """Return all combinations of methods, densities, lambdas, spaces and ranks.

    A method takes part in what it has: without a density it stands once, and a method that works
    in none of the spaces given is left out. Where nothing is given: all methods, `DENSITIES`, the
    default lambda (of sums, also 1/n and 1/2), the method's own space, and the full rank.

    Args:
        adapters: how many adapters are merged.
        only: names or aliases of methods.
        densities: in (0, 1].
        lambdas: factors on the merge.
        spaces: `dense`, `svd`, `core`.
        ranks: `full`, numbers, or `energy:SHARE`.

    Raises:
        MergeError: for an unknown method or space, a value out of bounds, or if nothing is left.
    """
    for space in spaces:
        if space not in SPACES:
            hint = did_you_mean(space, SPACES)
            raise MergeError(f"space is '{space}', expected one of {', '.join(SPACES)}{hint}")
    chosen = [method_info(name) for name in only] or list(methods())
    found: dict[str, Candidate] = {}
    for info in chosen:
        own = {parameter.name for parameter in info.parameters}
        axes = {
            "density": (densities or DENSITIES) if "density" in own else (None,),
            "lambda": (lambdas or _lambdas(info, adapters)) if "lambda_" in own else (None,),
            "space": [s for s in spaces if s in info.spaces] if spaces else (None,),
            "rank": ranks or (None,),
        }
        for values in product(*axes.values()):
            given = {k: v for k, v in zip(axes, values, strict=True) if v is not None}
            candidate = Candidate({"method": info.name, **given})
            found.setdefault(candidate.key(()), candidate)
    if not found:
        works = "; ".join(f"{info.name} in {', '.join(info.spaces)}" for info in chosen)
        raise MergeError(f"no method works in {', '.join(spaces)} ({works}); give another space")
    return list(found.values())


def neighbours(
    best: Iterable[Candidate], *, lambdas: bool = True, spaces: bool = True
) -> Iterator[Candidate]:
    """Yield the candidates of the second round: other lambdas and other spaces of the best."""
    for candidate in best:
        info = method_info(candidate.settings["method"])
        default = {p.key: p.default for p in info.parameters}
        if lambdas and "lambda" in default:
            now = candidate.settings.get("lambda", default["lambda"])
            for step in STEPS:
                yield Candidate({**candidate.settings, "lambda": round(now * step, 4)})
        if spaces:
            for space in info.spaces:
                if space != candidate.settings.get("space", info.space):
                    yield Candidate({**candidate.settings, "space": space})


def _lambdas(info: MethodInfo, adapters: int) -> tuple[float | None, ...]:
    """Return the first round's lambdas; None is the method's default.

    A sum of n task vectors is n times their mean, so its default may be far too much.
    """
    return (None, 0.5, round(1 / adapters, 4)) if info.weights == "any" else (None,)


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ",".join(f"{name}:{_text(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return ",".join(map(_text, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
