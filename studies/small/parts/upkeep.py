"""The initial cost and the updates, as benchmarks/upkeep.py goes through them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from bench import Bench
from setups import Study

from parts.steps import Step

_SCRIPT = Path(__file__).parents[3] / "benchmarks" / "upkeep.py"


def upkeep(study: Study, _bench: Bench) -> Iterator[tuple[str, Step]]:
    """Yield the one command; killed and called again, it goes on."""
    if "topic" not in study.form.tasks:
        return
    train, new, test = study.form.upkeep
    command = [
        sys.executable, str(_SCRIPT), "--packs", str(study.packs), "--base", str(study.base),
        "--out", str(study.work / "upkeep"), "--json", str(study.raw / "upkeep.json"),
        "--updates", str(study.form.updates), "--train", str(train), "--new", str(new),
        "--test", str(test),
    ]  # fmt: skip
    yield "upkeep", lambda: iter([command])
