"""What dev prefers: the recipes that go on to all seeds, and from there to test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench import MissingResultError
from forms import Form, Recipe, auto_names
from raw import Record
from setups import Study


def record_path(study: Study, task: str, part: str, seed: int) -> Path:
    """Return where the raw results of a part and seed are."""
    return study.raw / task / f"{part}-{seed}.json"


def record_of(study: Study, task: str, part: str, seed: int) -> Record:
    """Return the raw results of a part and seed."""
    return Record(record_path(study, task, part, seed))


def seeds_of(form: Form, init: str) -> tuple[int, ...]:
    """Return the seeds of an initialization: all of the first one's, one of the others'."""
    return form.seeds if init == form.inits[0] else form.seeds[:1]


def candidates_of(form: Form, init: str) -> Mapping[str, Recipe]:
    """Return the recipes among which dev chooses for an initialization."""
    return form.candidates if init == form.inits[0] else form.init_candidates


def finalists(study: Study, task: str, init: str, seed: int) -> Mapping[str, Recipe]:
    """Return the recipes to be asked on dev with a seed.

    With the first seed these are all; with the others, the best of the first by mean and by worst
    language, what `merge: auto` chooses among, and the references.
    """
    form = study.form
    candidates = candidates_of(form, init)
    if seed == form.seeds[0]:
        return candidates
    scores = _scores_of(candidates, [record_of(study, task, init, form.seeds[0])])
    if not scores.keys() >= candidates.keys():
        raise MissingResultError(f"dev scores of {task} ({init}) with the first seed")
    best = sorted(scores, key=lambda name: -_mean(scores[name]))[: form.finalists]
    names = [*best, best_of(scores, by_worst=True), *auto_names(form), *form.references]
    return {name: candidates[name] for name in dict.fromkeys(names)}


def chosen(study: Study, task: str, init: str) -> dict[str, object]:
    """Return what dev prefers, over all seeds, and the recipes that go to test.

    The winners by mean and by worst language; what `merge: auto` would take if a language were
    left out; the references; the best of each of the next methods; at most the form's number.
    """
    form = study.form
    records = [record_of(study, task, init, seed) for seed in seeds_of(form, init)]
    scores = _scores_of(candidates_of(form, init), records)
    if not scores:
        raise MissingResultError(f"dev scores of {task} ({init}); run the part main first")
    by_mean, by_worst = (best_of(scores, by_worst=worst) for worst in (False, True))
    heldout = heldout_choices(records, auto_names(form)) if init == form.inits[0] else {}
    first = [by_mean, by_worst, *heldout.values(), *form.references]
    names = list(dict.fromkeys(first))[: form.test_recipes]
    methods = {_family(form.candidates[name]) for name in names}
    for name in sorted(scores, key=lambda name: -_mean(scores[name])):
        if len(names) < form.test_recipes and _family(form.candidates[name]) not in methods:
            names.append(name)
            methods.add(_family(form.candidates[name]))
    return {"mean": by_mean, "worst-language": by_worst, "heldout": heldout, "test": names}


def chosen_recipe(study: Study, task: str, init: str) -> Recipe:
    """Return the recipe with the highest mean on dev."""
    return study.form.candidates[str(chosen(study, task, init)["mean"])]


def heldout_choices(records: Sequence[Record], names: Sequence[str]) -> dict[str, str]:
    """Return what `merge: auto` would choose for each language without its own dev rows.

    The rule is `langmerge.choose.auto.choose`'s: the highest mean of the other languages' scores,
    of equals the first.

    Args:
        records: of all seeds, over which scores are averaged.
        names: auto's candidates, in its order.
    """
    dev = [record.content["dev"] for record in records]
    languages = [*dev[0].get(f"merged:{names[0]}", {})] if names else []
    found = {}
    for left_out in languages if len(languages) > 1 else ():
        others = [code for code in languages if code != left_out]
        found[left_out] = max(
            names, key=lambda n: sum(of[f"merged:{n}"][code] for of in dev for code in others)
        )
    return found


def _scores_of(
    candidates: Mapping[str, Recipe], records: Sequence[Record]
) -> dict[str, list[float]]:
    """Return the dev scores of candidates, without merges that learned from dev."""
    scores = dev_scores(records, "merged:")
    return {name: of for name, of in scores.items() if name in candidates}


def dev_scores(records: Sequence[Record], prefix: str) -> dict[str, list[float]]:
    """Return each model's dev scores, averaged over the records, one per language."""
    found = {}
    for model in records[0].content["dev"]:
        if model.startswith(prefix) and all(model in r.content["dev"] for r in records):
            of_records = [list(r.content["dev"][model].values()) for r in records]
            found[model.removeprefix(prefix)] = [
                sum(values) / len(values) for values in zip(*of_records, strict=True)
            ]
    return found


def best_of(scores: Mapping[str, Sequence[float]], *, by_worst: bool = False) -> str:
    """Return the model with the highest mean over languages, or the highest worst one."""
    value = min if by_worst else _mean
    return max(scores, key=lambda name: (value(scores[name]), _mean(scores[name])))


def _family(recipe: Recipe) -> tuple[str, str]:
    return recipe["method"], recipe.get("space", "")


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
