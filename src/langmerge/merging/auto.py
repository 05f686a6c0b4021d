"""`merge: auto`: the recipe that langmerge chooses.

Where every language has dev rows, the merge job measures `CANDIDATES` on them and takes the best
(`choose.auto`); the job's key holds the candidates and the rows' digests. Where there are none,
`DEFAULT` is taken, or on a common ancestor `ANCESTOR_DEFAULT` (docs/findings.md).

This table is the one place to tune; raise `VERSION` when what is done with it changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langmerge.errors import MergeError
from langmerge.merging.schema import Recipe, check_recipe

AUTO = "auto"
VERSION = 2

DEFAULT: Mapping[str, Any] = {"method": "ties", "density": 1.0}
ANCESTOR_DEFAULT: Mapping[str, Any] = {"method": "linear"}

CANDIDATES: tuple[Mapping[str, Any], ...] = (
    # The default comes first: of equals the first is taken.
    DEFAULT,
    {"method": "ties", "density": 0.2},
    ANCESTOR_DEFAULT,
    {"method": "linear", "lambda": 0.5},
    {"method": "linear", "lambda": 2.0},
    {"method": "iso_c", "lambda": 0.5},
)

_TAKEN = ("rank", "seed")


def check_auto(given: Mapping[str, Any]) -> Recipe:
    """Return `auto` as a recipe that is still to be chosen: rank and seed hold for what is chosen.

    Raises:
        MergeError: if more is given, or it is wrong.
    """
    given = {key: value for key, value in given.items() if value is not None}
    if unknown := [key for key in given if key not in _TAKEN]:
        raise MergeError(
            f"auto chooses '{unknown[0]}' itself; leave it out, or name a method "
            f"(auto takes {' and '.join(_TAKEN)})"
        )
    checked = check_recipe(DEFAULT["method"], given)
    return Recipe(AUTO, {}, rank=checked.rank, seed=checked.seed)


def settings_of(candidate: Mapping[str, Any], auto: Recipe) -> dict[str, Any]:
    """Return a candidate's settings with the rank that `auto` was given."""
    return {**candidate, **({} if auto.rank == "full" else {"rank": auto.rank})}


def default_recipe(auto: Recipe, adapters: int, *, has_ancestor: bool) -> Recipe:
    """Return the recipe for adapters of which there are no dev rows."""
    default = ANCESTOR_DEFAULT if has_ancestor else DEFAULT
    settings = {**settings_of(default, auto), "seed": auto.seed}
    return check_recipe(settings.pop("method"), settings, adapters)
