"""The initial cost and the updates, as benchmarks/upkeep.py goes through them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from bench import Bench
from choice import chosen_recipe
from forms import GENTLE, HALF_SHARE
from setups import Study

from parts.steps import Step

_SCRIPT = Path(__file__).parents[3] / "benchmarks" / "upkeep.py"
TASK = "topic"


def upkeep(study: Study, _bench: Bench) -> Iterator[tuple[str, Step]]:
    """Yield the one command; killed and called again, it goes on."""
    if TASK in study.form.tasks:
        yield "upkeep", lambda: iter([_command(study)])


def _command(study: Study) -> list[str]:
    """Return the updates of a project as the form's are, by the recipe that dev chose."""
    form = study.form
    train, new, test = form.upkeep
    recipe = chosen_recipe(study, TASK, form.inits[0])
    gently = ["--share", str(HALF_SHARE), "--gentle", str(GENTLE)]
    return [
        sys.executable, str(_SCRIPT), "--packs", str(study.packs), "--base", str(study.base),
        "--out", str(study.work / "upkeep"), "--json", str(study.raw / "upkeep.json"),
        "--updates", str(form.updates), "--train", str(train), "--new", str(new),
        "--test", str(test), "--init", form.inits[0], "--recipe", json.dumps(dict(recipe)),
        "--dtype", form.training.get("dtype", "auto"), "--modes", "scratch",
        *(gently if form.inits[0] == "ancestor" else []),
    ]  # fmt: skip
