"""The table of merging methods: each is a function whose keyword arguments are its schema.

    @register(summary="...", source="...")
    def ties(*, density: Density = 1.0, lambda_: Lambda = 1.0) -> Composition: ...

`Density` and `Lambda` are types annotated with a `Spec`: the meaning and the bounds. Recipes,
the command line and the documentation all read the schema from here, without importing torch;
so a method's module imports torch (its steps) only inside the function.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from langmerge.errors import MergeError

if TYPE_CHECKING:
    from langmerge.merging.composition import Method

Space = Literal["dense", "svd", "core"]
SPACES: tuple[str, ...] = typing.get_args(Space)

# What a method asks of the weights: their sum is a divisor, or only their ratios decide a sign.
WeightRule = Literal["any", "nonzero-sum", "positive"]


@dataclass(frozen=True)
class Spec:
    """What a parameter means and which values it takes."""

    meaning: str
    above: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Parameter:
    """One parameter of a method.

    Attributes:
        name: its name in Python; a trailing underscore avoids a keyword (`lambda_`).
        kind: `float`, `bool` or `str`.
        default: its value when a recipe does not give it.
        spec: its meaning and bounds.
    """

    name: str
    kind: type
    default: Any
    spec: Spec

    @property
    def key(self) -> str:
        """Its name in recipes and on the command line (`lambda`)."""
        return self.name.rstrip("_")

    def checked(self, value: Any, method: str) -> Any:
        """Return `value` as this parameter's type.

        Raises:
            MergeError: if it has the wrong type or is out of bounds.
        """
        where = f"{method}: {self.key} is {value!r}, expected"
        if self.kind is bool or self.kind is str:
            if not isinstance(value, self.kind):
                raise MergeError(f"{where} {'true or false' if self.kind is bool else 'a name'}")
            if self.spec.choices and value not in self.spec.choices:
                raise MergeError(f"{where} one of {', '.join(self.spec.choices)}")
            return value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise MergeError(f"{where} a number")
        above, most = self.spec.above, self.spec.most
        inside = (
            abs(value) < float("inf")
            and (above is None or value > above)
            and (most is None or value <= most)
        )
        if not inside:
            raise MergeError(f"{where} a number in {_interval(above, most)}")
        return float(value)


def _interval(above: float | None, most: float | None) -> str:
    low = "-inf" if above is None else f"{above:g}"
    return f"({low}, inf)" if most is None else f"({low}, {most:g}]"


@dataclass(frozen=True)
class MethodInfo:
    """One merging method.

    Attributes:
        name: its name in recipes.
        summary: what it does, in one line.
        source: the publication its formula is from.
        aliases: other names it goes by.
        parameters: its own parameters, beside weights, rank, space and seed.
        space: the space it works in unless a recipe names another.
        spaces: the spaces it can work in.
        weights: what it asks of the weights.
        elects: whether a sign is elected per entry, so that a recipe can `protect` adapters.
        build: makes the composition from the parameters; imports torch.
    """

    name: str
    summary: str
    source: str
    aliases: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    space: Space
    spaces: tuple[str, ...]
    weights: WeightRule
    elects: bool
    build: Callable[..., Method]


_methods: dict[str, MethodInfo] = {}

_Build = TypeVar("_Build", bound="Callable[..., Method]")


def register(
    *,
    summary: str,
    source: str,
    name: str | None = None,
    aliases: tuple[str, ...] = (),
    space: Space = "dense",
    spaces: tuple[str, ...] = SPACES,
    weights: WeightRule = "positive",
    elects: bool = False,
) -> Callable[[_Build], _Build]:
    """Add a function that returns a `Composition` or a `WholeModule` to the table of methods.

    Its keyword arguments become the method's parameters: each needs a default, and a type that is
    `Annotated` with a `Spec` (`Density`, `Lambda`, or one's own).

    Args:
        summary: what the method does, in one line.
        source: where its formula is published.
        name: its name; the function's by default.
        aliases: other names for it.
        space: the space it works in by default.
        spaces: the spaces it can work in.
        weights: what it asks of the weights: `positive` where they vote on signs, `nonzero-sum`
            where their sum is a divisor, or `any`.
        elects: whether it elects a sign per entry, which a recipe's `protect` can then overrule.

    Raises:
        MergeError: if the name is taken, or a keyword argument lacks its default or its `Spec`.
    """

    def add(build: _Build) -> _Build:
        info = MethodInfo(
            name=name or build.__name__,
            summary=summary,
            source=source,
            aliases=aliases,
            parameters=_parameters(build),
            space=space,
            spaces=spaces,
            weights=weights,
            elects=elects,
            build=build,
        )
        taken = {known for method in _methods.values() for known in (method.name, *method.aliases)}
        for new in (info.name, *aliases):
            if new in taken:
                raise MergeError(f"a merging method named '{new}' is registered already")
        _methods[info.name] = info
        return build

    return add


def registered() -> tuple[MethodInfo, ...]:
    """Return the methods in the order of their registration."""
    return tuple(_methods.values())


def _parameters(build: Callable[..., Any]) -> tuple[Parameter, ...]:
    """Read a method's parameters off its signature."""
    # The return type is left out: it names a class whose module imports torch.
    hints = {key: hint for key, hint in build.__annotations__.items() if key != "return"}
    holder = type("Hints", (), {"__annotations__": hints, "__module__": build.__module__})
    resolved = typing.get_type_hints(holder, build.__globals__, include_extras=True)
    parameters = []
    for argument in inspect.signature(build).parameters.values():
        hint = resolved.get(argument.name)
        spec = next((m for m in getattr(hint, "__metadata__", ()) if isinstance(m, Spec)), None)
        if spec is None or argument.default is argument.empty:
            raise MergeError(
                f"{build.__name__}: argument '{argument.name}' needs a default and a type "
                "annotated with a Spec"
            )
        kind = typing.get_args(hint)[0]
        parameters.append(Parameter(argument.name, kind, argument.default, spec))
    return tuple(parameters)


Density = Annotated[
    float, Spec("share of each task vector's entries that is kept", above=0.0, most=1.0)
]
Lambda = Annotated[float, Spec("factor on the merged task vector")]
Normalize = Annotated[
    bool, Spec("divide by the weights (an average); if false, the languages add up")
]
Trim = Annotated[
    str,
    Spec(
        "what an entry's size is compared with: its tensor, or all of the adapter's model",
        choices=("tensor", "model"),
    ),
]
ZeroSign = Annotated[
    str,
    Spec(
        "the sign of a sum of zero: plus, or that of most sums of the tensor",
        choices=("plus", "majority"),
    ),
]
Rescale = Annotated[
    str,
    Spec(
        "how kept entries make up for the others: times 1/density, to the same L1 norm, or not",
        choices=("density", "l1", "none"),
    ),
]
