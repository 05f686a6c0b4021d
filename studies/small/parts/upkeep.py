"""The initial cost and the updates, as benchmarks/upkeep.py goes through them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from bench import Bench
from choice import chosen_recipe
from forms import FROM_COMBINED, GENTLE, HALF_SHARE, Recipe
from setups import Study

from langmerge.merging.auto import ANCESTOR_DEFAULT
from parts.steps import Step

_SCRIPT = Path(__file__).parents[3] / "benchmarks" / "upkeep.py"
TASK = "topic"


def upkeep(study: Study, _bench: Bench) -> Iterator[tuple[str, Step]]:
    """Yield two commands, updates as the form's are and from the combined model.

    Killed and called again, they go on.
    """
    if TASK in study.form.tasks:
        yield "upkeep", lambda: iter([_as_the_form(study)])
        yield f"upkeep {FROM_COMBINED}", lambda: iter([_from_combined(study)])


def _as_the_form(study: Study) -> list[str]:
    """Return the updates of a project as the form's are, by the recipe that dev chose."""
    init = study.form.inits[0]
    share = HALF_SHARE if init == "ancestor" else None
    return _command(study, "upkeep", init, chosen_recipe(study, TASK, init), share)


def _from_combined(study: Study) -> list[str]:
    """Return those of one that starts from the combined model, by the default on an ancestor."""
    return _command(study, f"upkeep-{FROM_COMBINED}", "ancestor", ANCESTOR_DEFAULT, 1.0)


def _command(study: Study, name: str, init: str, recipe: Recipe, share: float | None) -> list[str]:
    form = study.form
    train, new, test = form.upkeep
    gently = [] if share is None else ["--share", str(share), "--gentle", str(GENTLE)]
    return [
        sys.executable, str(_SCRIPT), "--packs", str(study.packs), "--base", str(study.base),
        "--out", str(study.work / name), "--json", str(study.raw / f"{name}.json"),
        "--updates", str(form.updates), "--train", str(train), "--new", str(new),
        "--test", str(test), "--init", init, "--recipe", json.dumps(dict(recipe)),
        "--dtype", form.training.get("dtype", "auto"), "--modes", "scratch", *gently,
    ]  # fmt: skip
