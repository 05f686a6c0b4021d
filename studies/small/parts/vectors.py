"""Language vectors: how far languages' changes go the same way, by what they start from."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bench import Bench, Opened
from choice import record_of
from forms import VECTORS
from setups import Study

from langmerge.analysis import analyze
from langmerge.analysis.matrices import Matrix
from parts.steps import Step, adapters_of, init_project, train

DENSITY = 0.2
"""Share of each adapter's entries whose signs are compared: those that say most."""


def vectors(study: Study, _bench: Bench) -> Iterator[tuple[str, Step]]:
    """Yield the comparison of all adapters of a task with the first seed, for every start."""
    for task in study.form.tasks:
        for init in study.form.inits:
            path = init_project(study, task, init)
            yield f"{VECTORS}/{task}-{init}: train", partial(train, path)
            yield f"{VECTORS}/{task}-{init}", partial(_compared, study, path)


def _compared(study: Study, path: Path) -> Iterator[list[str]]:
    project, seed = Opened.of(path), study.form.seeds[0]
    record = record_of(study, project.task, VECTORS, seed)
    if project.init in record.content["facts"]:
        return
    adapters, ancestor = adapters_of(project, seed)
    named = dict(zip(project.languages, adapters, strict=True))
    found = analyze(named, density=DENSITY, ancestor=ancestor)
    assert found.signs is not None
    signs = found.signs
    record.note(
        **{
            project.init: {
                "languages": list(found.names),
                "cosines": _rounded(found.whole.cosines),
                "agreement": _rounded(signs.agreement),
                "conflict": signs.conflict,
                "conflict_by_chance": signs.conflict_by_chance,
                "norms": list(found.whole.norms),
            }
        }
    )
    yield from ()


def _rounded(matrix: Matrix) -> list[list[float | None]]:
    return [[None if x is None else round(x, 4) for x in row] for row in matrix]
