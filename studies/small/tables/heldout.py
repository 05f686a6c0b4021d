"""What `merge: auto` is worth for a language that had no part in the choice."""

from __future__ import annotations

from collections.abc import Mapping

from forms import FROM_COMBINED, WIDE
from intervals import Drawn, draw, mean_of
from results import Raw

from tables.common import first_facts, languages_of, models_of, points, table, with_left_out


def heldout(raw: Raw) -> str:
    """Return test scores of what was chosen without a language, against those of plain TIES.

    Each language in turn is left out: the recipe is chosen among auto's candidates on the others'
    dev rows (`choice.heldout_choices`), and its test score on that language stands against TIES'.
    """
    starts = {
        (raw.first, "heldout"): "of the form",
        (WIDE, "heldout"): "of the form, wide test",
        (WIDE, "heldout_wide"): "of the form, wide dev and test",
        (FROM_COMBINED, "heldout"): "from the combined model, wide test",
    }
    lines: list[list[str]] = []
    complete: list[str] = []
    for (part, choice), told in starts.items():
        differences = []
        for task in raw.tasks:
            if (found := _against_ties(raw, task, part, choice)) is None:
                continue
            complete += [task] if part == raw.first else []
            picked, auto, ties = found
            differences.append(auto.mean.minus(ties.mean))
            values = [f"{drawn.mean.observed:.1f}" for drawn in (auto, ties)]
            cells = [
                f"{code} `{picked[code]}` {points(value.minus(ties.by_language[code]))}"
                for code, value in auto.by_language.items()
            ]
            lines.append([task, told, *values, points(differences[-1]), ", ".join(cells)])
        if len(differences) == len(raw.tasks) > 1:
            mean = points(mean_of(differences))
            lines.append(["mean of the tasks", told, "", "", mean, ""])
    head = ["task", "adapters", "auto", "TIES", "difference (95%)", "by language left out (95%)"]
    return with_left_out(table(head, lines) if lines else "", raw, complete)


def _against_ties(
    raw: Raw, task: str, part: str, choice: str
) -> tuple[Mapping[str, str], Drawn, Drawn] | None:
    """Return the recipes chosen without each language, their scores on it, and those of TIES.

    None where a recipe has not been asked with all seeds that TIES was asked with.
    """
    picked, models = _picked(raw, task, part, choice), models_of(raw, task, part)
    plain, languages = models.get("merged:ties-1", {}), languages_of(raw, task)
    of = {code: models.get(f"merged:{name}", {}) for code, name in picked.items()}
    seeds = [s for s in plain if all(s in of.get(code, {}) for code in languages)]
    if len(languages) < 2 or not seeds or len(seeds) < len(plain):
        return None
    auto = {s: {code: of[code][s][code] for code in languages} for s in seeds}
    drawn = draw({"auto": auto, "ties": {s: plain[s] for s in seeds}})
    return picked, drawn["auto"], drawn["ties"]


def _picked(raw: Raw, task: str, part: str, choice: str) -> Mapping[str, str]:
    """Return what dev chose without each language; empty where it has not been asked to the end."""
    facts = first_facts(raw, task, part)
    choices = facts.get("chosen", {}) if part == raw.first else facts
    picked: Mapping[str, str] = choices.get(choice, {})
    return picked
