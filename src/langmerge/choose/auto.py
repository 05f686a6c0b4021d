"""The choice behind `merge: auto`: a small fixed set of recipes, measured on dev."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langmerge.adapter import Adapter
from langmerge.choose.bench import Bench, Unit, resident
from langmerge.choose.candidates import Candidate
from langmerge.choose.contest import Contest
from langmerge.choose.journal import Journal
from langmerge.choose.objective import Objective, UnitName
from langmerge.choose.racing import Racing
from langmerge.data import Row
from langmerge.errors import MergeError
from langmerge.merging.schema import Recipe
from langmerge.model import BaseModel
from langmerge.tasks import Task


@dataclass(frozen=True)
class Choice:
    """What was chosen, and why.

    Attributes:
        recipe: the complete recipe.
        evidence: candidates with their mean on dev, those stopped early with their bound.
    """

    recipe: Recipe
    evidence: dict[str, Any]


def choose(
    base: BaseModel,
    task: tuple[str, Task],
    adapters: Mapping[str, Path],
    rows: Mapping[str, Sequence[Row]],
    candidates: Sequence[Mapping[str, Any]],
    *,
    max_lengths: Mapping[str, int],
    batch_tokens: int,
    seed: int,
    ancestor: Path | None = None,
    journal: Path | None = None,
    on_progress: Callable[[int, int, str], None] | None = None,
) -> Choice:
    """Measure recipes on dev, and return the one with the highest mean over languages.

    Args:
        base: the base model, without an adapter; as it was afterwards.
        task: its name, and the task.
        adapters: the folders of the adapters, by language.
        rows: the dev rows, by language.
        candidates: settings of recipes; of equals the first is taken.
        max_lengths: of prompts, by language.
        batch_tokens: tokens in memory at once.
        seed: of random masks.
        ancestor: the folder of what the adapters started from, if anything.
        journal: where answers are kept while the choice goes on.
        on_progress: called with (candidates done, candidates in all, the best so far).

    Raises:
        MergeError: if none of the candidates can be merged.
    """
    racing, languages = Racing(), list(adapters)
    name, of_task = task
    kept = {code: resident(Adapter.load(folder)) for code, folder in adapters.items()}
    units = [Unit.of(UnitName(name, code), of_task, rows[code], racing) for code in languages]
    starts = {} if ancestor is None else {name: resident(Adapter.load(ancestor))}
    with Bench(base, {name: kept}, max_lengths, batch_tokens, starts) as bench:
        contest = Contest(bench, units, languages, Journal(journal), Objective(), racing, seed)
        for done, settings in enumerate(candidates, start=1):
            contest.enter(Candidate(settings))
            if on_progress is not None and (best := contest.best) is not None:
                on_progress(done, len(candidates), f"best {best.value:.1f}")
    if (best := contest.best) is None:
        problems = [found.problem for found in contest.contestants.values()]
        raise MergeError(f"auto: no candidate can be merged: {problems[0]}")
    evidence = {
        "chosen": best.candidate.label,
        "metric": of_task.primary_metric,
        "rows": {unit.name.language: len(unit.rows) for unit in units},
        "risk": racing.risk,
        "candidates": [
            {
                "recipe": found.candidate.label,
                **({"problem": found.problem} if found.problem else {"mean": found.value}),
                **({} if found.bound is None else {"share": found.share, "bound": found.bound}),
            }
            for found in contest.contestants.values()
        ],
    }
    return Choice(best.candidate.recipe(languages, seed), evidence)
