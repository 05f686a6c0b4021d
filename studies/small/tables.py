"""The tables of docs/findings.md, each from the raw results alone; empty where there are none."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from forms import ANCESTORS, METRICS
from intervals import Drawn, Value, draw, mean_of
from results import Raw

from langmerge.statistics import Interval, Samples

MARGIN = -1.5
"""Points that a merge may be below the combined model and still count as not inferior."""
LEAST_RETENTION = 97.0
"""Per cent of the combined model's score under which a language is said to have lost."""

_ORDER = (
    "base", "individual", "routed", "best-single", "ancestor", "combined", "combined-tuned",
)  # fmt: skip


_INITS = {
    "shared": "one A for all languages",
    "separate": "an A of each language's own",
    "ancestor": "a common ancestor, trained for a short while on a share of all languages' rows",
}


def setup(raw: Raw) -> str:
    """Return what was run on what."""
    lines, machine = [], None
    for task in _tested(raw):
        seeds = raw.seeds(task)
        record = raw.record(task, raw.first, seeds[0])
        languages = _languages(raw, task)
        rows = [len(record["test"]["combined"][code]) for code in languages]
        trained = [record["facts"]["costs"].get(code, {}).get("rows", "?") for code in languages]
        cells = (f"{code} {n} / {m}" for code, n, m in zip(languages, trained, rows, strict=True))
        lines.append([task, METRICS[task], ", ".join(cells), ", ".join(map(str, seeds))])
        machine = record["machine"]
    if machine is None:
        return _with_left_out("", raw, _tested(raw))
    versions = ", ".join(f"{name} {v}" for name, v in machine["versions"].items())
    device = machine["gpu"] or f"{machine['cores']} CPU cores"
    head = ["task", "measure", "rows of training / test", "seeds"]
    start = f"Adapters start from: {_INITS[raw.first]}."
    text = f"{_table(head, lines)}\n\n{start} Machine: {device}; {versions}; {machine['date']}."
    return _with_left_out(text, raw, _tested(raw))


def verdict(raw: Raw) -> str:
    """Return the recipe that dev chose against the alternatives, task by task."""
    lines = []
    for task in _tested(raw):
        drawn, ours = draw(models_of(raw, task)), f"merged:{_chosen(raw, task)['mean']}"
        merged, combined = drawn[ours], drawn["combined"]
        kept = merged.mean.per_cent_of(combined.mean).interval()
        lines.append(
            [
                task,
                f"`{ours.removeprefix('merged:')}`",
                f"{merged.mean.observed:.1f}",
                f"{combined.mean.observed:.1f}",
                _difference(drawn, ours, "combined"),
                _verdict(merged.mean.minus(combined.mean)),
                f"{kept.value:.1f}% ({_pair(kept)})",
                _lost(merged, combined),
                _difference(drawn, ours, "best-single"),
                _against(raw, task, ours, "ancestor"),
                _against(raw, task, ours, "combined-tuned"),
            ]
        )
    head = [
        "task", "recipe", "merged", "combined", "difference (95%)",
        f"one-sided 95% bound; above {MARGIN:g}?", "keeps (95%)",
        f"languages under {LEAST_RETENTION:g}%", "minus best-single (95%)",
        "minus the ancestor alone (95%)", "minus combined tuned (95%)",
    ]  # fmt: skip
    return _with_left_out(_table(head, lines) if lines else "", raw, _tested(raw))


def _against(raw: Raw, task: str, ours: str, other: str) -> str:
    """Compare with a model that may have been asked with some of the seeds only."""
    difference = _minus(raw, task, ours, other)
    return "" if difference is None else _points(difference)


def _minus(raw: Raw, task: str, ours: str, other: str) -> Value | None:
    """Return one model's mean minus another's over the seeds that both have; None without any."""
    models = models_of(raw, task)
    part = models_of(raw, task, "ancestor") if other == "ancestor" else models
    drawn = _drawn_alike({other: part.get(other, {}), ours: models.get(ours, {})})
    return drawn[ours].mean.minus(drawn[other].mean) if drawn else None


def _drawn_alike(models: Mapping[str, Mapping[int, Samples]]) -> dict[str, Drawn]:
    """Draw models over the seeds that all of them have; empty where they have none in common."""
    common = sorted(set.intersection(*(set(runs) for runs in models.values())))
    alike = {name: {seed: runs[seed] for seed in common} for name, runs in models.items()}
    return draw(alike) if common else {}


def _verdict(difference: Value | None) -> str:
    """Return the lower bound of the two-sided 90% interval, and whether it is above the margin."""
    lower = None if difference is None else difference.interval(0.90).low
    return "?" if lower is None else f"{lower:+.1f}: {'yes' if lower > MARGIN else 'no'}"


def scores(raw: Raw) -> str:
    """Return every model's score by language, task by task."""
    parts = []
    for task in raw.tasks:
        if not (models := without_learned(models_of(raw, task))):
            continue
        languages, drawn = _languages(raw, task), draw(models)
        seeds = max(len(runs) for runs in models.values())
        lines = [
            [
                f"`{model}`",
                *(f"{value.observed:.1f}" for value in drawn[model].by_language.values()),
                f"{drawn[model].mean.observed:.1f}",
                _pair(drawn[model].mean.interval()),
                _difference(drawn, model, "combined") if model != "combined" else "",
            ]
            for model in sorted(models, key=_rank)
        ]
        head = ["model", *sorted(languages), "mean", "95%", "minus combined (95%)"]
        of_seeds = f"{seeds} seeds" if seeds > 1 else "one seed, whose chance no interval covers"
        parts.append(
            f"**{task}**: {METRICS[task]}; {of_seeds}\n\n{_table(head, lines, right=True)}"
        )
    return _with_left_out("\n\n".join(parts), raw, [t for t in raw.tasks if models_of(raw, t)])


def choosing(raw: Raw) -> str:
    """Return what choosing on dev was worth: dev and test scores of what it chose."""
    lines = []
    for task in _tested(raw):
        models = without_learned(models_of(raw, task))
        tested = [name for name in models if name.startswith("merged:")]
        test = {name: drawn.mean.observed for name, drawn in draw(models).items()}
        dev = {name: _dev_mean(raw, task, name) for name in tested}
        chosen, best = f"merged:{_chosen(raw, task)['mean']}", max(tested, key=test.__getitem__)
        lines.append(
            [
                task,
                f"`{chosen.removeprefix('merged:')}`",
                f"{dev[chosen]:.1f}",
                f"{test[chosen]:.1f}",
                f"{test[chosen] - dev[chosen]:+.1f}",
                f"{np.mean([test[name] - dev[name] for name in tested]):+.1f}",
                f"`{best.removeprefix('merged:')}` {test[best]:.1f}",
            ]
        )
    head = [
        "task", "chosen on dev", "dev", "test", "its gap", "gap of all tested", "best of test"
    ]  # fmt: skip
    return _with_left_out(_table(head, lines) if lines else "", raw, _tested(raw))


def heldout(raw: Raw) -> str:
    """Return what `merge: auto` is worth for a language that had no part in the choice.

    Each language in turn is left out: the recipe is chosen among auto's candidates on the others'
    dev rows (`parts.heldout_choices`), and its test score on that language stands against TIES'.
    """
    lines, complete = [], []
    for task in raw.tasks:
        picked, models = _chosen(raw, task).get("heldout", {}), models_of(raw, task)
        plain, languages = models.get("merged:ties-1", {}), _languages(raw, task)
        of = {code: models.get(f"merged:{name}", {}) for code, name in picked.items()}
        seeds = [s for s in plain if all(s in of.get(code, {}) for code in languages)]
        if len(languages) < 2 or not seeds or len(seeds) < len(plain):
            continue
        complete.append(task)
        auto = {s: {code: of[code][s][code] for code in languages} for s in seeds}
        drawn = draw({"auto": auto, "ties": {s: plain[s] for s in seeds}})
        ours, ties = drawn["auto"], drawn["ties"]
        cells = [
            f"{code} `{picked[code]}` {_points(value.minus(ties.by_language[code]))}"
            for code, value in ours.by_language.items()
        ]
        lines.append(
            [task, f"{ours.mean.observed:.1f}", f"{ties.mean.observed:.1f}",
             _points(ours.mean.minus(ties.mean)), ", ".join(cells)]
        )  # fmt: skip
    head = ["task", "auto", "TIES", "difference (95%)", "by language left out (95%)"]
    return _with_left_out(_table(head, lines) if lines else "", raw, complete)


def methods(raw: Raw) -> str:
    """Return the best dev score of every method with the first seed, which sees all of them."""
    found: dict[str, dict[str, tuple[float, str]]] = {}
    for task in raw.tasks:
        record, languages = raw.record(task, raw.first, raw.seeds(task)[0]), _languages(raw, task)
        for name, recipe in record["recipes"].items():
            scores = record["dev"].get(f"merged:{name}", {})
            if f"merged:{name}" in LEARNED:
                continue
            if languages and scores.keys() == set(languages):
                method = _method(recipe)
                score = (float(np.mean([*scores.values()])), name)
                of_method = found.setdefault(method, {})
                of_method[task] = max(of_method.get(task, (-1.0, "")), score)
    lines = [
        [f"`{method}`", *(_cell(of_method.get(task)) for task in raw.tasks)]
        for method, of_method in sorted(found.items())
    ]
    return _table(["method", *raw.tasks], lines) if lines else ""


def inits(raw: Raw) -> str:
    """Return what adapters start from: scores of the first seed, by initialization."""
    lines = []
    for task in raw.tasks:
        first = raw.seeds(task)[0]
        for part in dict.fromkeys((raw.first, "shared", "separate", "ancestor")):
            models = models_of(raw, task, part)
            if combined := models_of(raw, task).get("combined"):
                models["combined"] = combined
            models = {name: {first: runs[first]} for name, runs in models.items() if first in runs}
            if not models or not (picked := raw.record(task, part, first)["facts"].get("chosen")):
                continue
            drawn = draw(models)
            cells = []
            for name in (f"merged:{picked['mean']}", "merged:ties-1", "merged:mean", "ancestor"):
                value = f"{drawn[name].mean.observed:.1f}" if name in drawn else ""
                cells.append(value)
            against = _difference(drawn, f"merged:{picked['mean']}", "combined")
            lines.append([task, part, f"`{picked['mean']}`", *cells, against])
    if not any(line[1] != raw.first for line in lines):
        return ""
    head = [
        "task", "init", "chosen on dev", "chosen", "TIES", "mean", "ancestor alone",
        "chosen minus combined (95%)",
    ]  # fmt: skip
    return _table(head, lines)


def calibrated(raw: Raw) -> str:
    """Return merges whose weights were learned on dev rows, and the short training on them."""
    lines = []
    for task in raw.tasks:
        models, chosen = models_of(raw, task), f"merged:{_chosen(raw, task).get('mean')}"
        ours = models.get(CALIBRATED)
        if ours and chosen in models and "combined" in models:
            seeds, mean = len(ours), draw({CALIBRATED: ours})[CALIBRATED].mean.observed
            lines.append(
                [
                    task, str(seeds),
                    f"{_dev_mean(raw, task, CALIBRATED, chosen):.1f} / "
                    f"{_dev_mean(raw, task, chosen, CALIBRATED):.1f}",
                    f"{mean:.1f}",
                    _against(raw, task, CALIBRATED, chosen),
                    _against(raw, task, CALIBRATED, "combined"),
                    _verdict(_minus(raw, task, CALIBRATED, "combined")),
                    _against(raw, task, CALIBRATED, "combined-tuned"),
                    _against(raw, task, f"{CALIBRATED}-bands", CALIBRATED),
                    _against(raw, task, "aligned", CALIBRATED),
                ]
            )  # fmt: skip
    head = [
        "task", "seeds", "dev: calibrated / chosen", "calibrated", "minus chosen (95%)",
        "minus combined (95%)", f"one-sided 95% bound; above {MARGIN:g}?",
        "minus combined tuned (95%)", "three bands minus one (95%), first seed",
        "aligned minus calibrated (95%), first seed",
    ]  # fmt: skip
    return _table(head, lines) if lines else ""


CALIBRATED = "merged:calibrated"
LEARNED = (CALIBRATED, f"{CALIBRATED}-bands", "aligned")
"""What has a table of its own: dev rows were what it learned from."""


def without_learned(models: dict[str, Any]) -> dict[str, Any]:
    """Leave out merges that learned from dev rows, which not all seeds may have."""
    return {name: runs for name, runs in models.items() if name not in LEARNED}


def tuned(raw: Raw) -> str:
    """Return the combined model's dev scores with other settings, and what came of the best."""
    lines, names = [], []
    for task in raw.tasks:
        record = raw.record(task, raw.first, raw.seeds(task)[0])
        trials = {
            model.removeprefix("combined:"): float(np.mean([*scores.values()]))
            for model, scores in record["dev"].items()
            if model.startswith("combined:")
        }
        if "tuned" in record["facts"]:
            names = names or [*trials]
            cells = [f"{trials[name]:.1f}" if name in trials else "" for name in names]
            lines.append([task, *cells, record["facts"]["tuned"]])
    if not lines:
        return ""
    by_setting = _table(["task", *names, "chosen"], lines)
    return "\n\n".join(part for part in (by_setting, _merged_by_the_best(raw)) if part)


_TRAINED = {
    "tuned": "by the setting",
    **{n: f"gently, from an ancestor of {s:.0%} of the rows" for n, s in ANCESTORS.items()},
}


def _merged_by_the_best(raw: Raw) -> str:
    """Return merges of adapters trained by the combined model's best setting, against it."""
    lines = []
    differences: dict[str, list[Value]] = {variant: [] for variant in _TRAINED}
    for task, variant in product(raw.tasks, _TRAINED):
        if not (seeds := raw.seeds(task, variant)):
            continue
        ours, facts = models_of(raw, task, variant), raw.record(task, variant, seeds[0])["facts"]
        theirs = models_of(raw, task).get("combined-tuned", {})
        name = f"merged:{facts.get('chosen')}"
        drawn = _drawn_alike({name: ours.get(name, {}), "tuned": theirs})
        if not drawn:
            continue
        difference = drawn[name].mean.minus(drawn["tuned"].mean)
        differences[variant].append(difference)
        individual = _drawn_alike({"individual": ours.get("individual", {})})
        beside = _drawn_alike({name: ours[name], "ancestor": ours.get("ancestor", {})})
        lines.append(
            [
                task,
                _TRAINED[variant],
                str(len(ours[name].keys() & theirs.keys())),
                f"{individual['individual'].mean.observed:.1f}" if individual else "",
                f"`{facts['chosen']}`",
                f"{drawn[name].mean.observed:.1f}",
                f"{drawn['tuned'].mean.observed:.1f}",
                _points(difference),
                _verdict(difference),
                _difference(beside, name, "ancestor"),
            ]
        )
    if not lines:
        return ""
    for variant, of_tasks in differences.items():
        if len(of_tasks) == len(raw.tasks) > 1:
            over = mean_of(of_tasks)
            told = [_points(over), _verdict(over), ""]
            lines.append(["mean of the tasks", _TRAINED[variant], *[""] * 5, *told])
    head = [
        "task", "adapters", "seeds", "individual", "recipe", "merged", "combined, tuned",
        "difference (95%)", f"one-sided 95% bound; above {MARGIN:g}?",
        "minus its ancestor alone (95%)",
    ]  # fmt: skip
    return f"Adapters trained by the chosen setting, too:\n\n{_table(head, lines)}"


def crossed(raw: Raw) -> str:
    """Return merges of the same adapters over languages, over tasks, and over both."""
    lines = []
    for task in raw.tasks:
        for seed in raw.seeds(task, "crossed")[:1]:
            record = raw.record(task, "crossed", seed)
            for code in record["facts"]["languages"]:
                models = ("own", "over languages", f"over tasks: {code}", "over both")
                answers = [record["test"].get(model, {}) for model in models]
                if all(code in of for of in answers):
                    values = [raw.value(task, code, of[code]) for of in answers]
                    lines.append([task, code, *(f"{value:.1f}" for value in values)])
    head = ["task", "language", "own adapter", "over languages", "over tasks", "over both"]
    return _table(head, lines) if lines else ""


def withheld(raw: Raw) -> str:
    """Return what happens to a label that one language's rows lack."""
    task = "topic"
    if not raw.seeds(task, "withheld"):
        return ""
    seed = raw.seeds(task, "withheld")[0]
    record, control = raw.record(task, "withheld", seed), raw.record(task, raw.first, seed)
    _, language, label = record["facts"]["withheld"]
    pairs = {"chosen": f"merged:{_chosen(raw, task).get('mean')}", "ties-1": "merged:ties-1"}
    lines = []
    for model, answers in record["test"].items():
        if language not in answers:
            continue
        name = pairs.get(model.removeprefix("merged:"), model)
        cells = []
        for of in (control["test"].get(name, {}), answers):
            if language in of:
                recall = raw.recall(task, language, of[language], label).value
                cells += [f"{recall:.0f}%", f"{raw.value(task, language, of[language]):.1f}"]
            else:
                cells += ["", ""]
        lines.append([f"`{model}`", *cells])
    head = [
        "model", f"'{label}' found, all rows", "macro-F1", f"'{label}' found, withheld", "macro-F1"
    ]  # fmt: skip
    return f"{language}, whose training rows lack '{label}':\n\n{_table(head, lines, right=True)}"


def added(raw: Raw) -> str:
    """Return what each further language does to the merge, and to the languages before it."""
    parts = []
    for task in raw.tasks:
        for seed in raw.seeds(task, "added")[:1]:
            record = raw.record(task, "added", seed)
            before, new = record["facts"]["before"], record["facts"]["added"]
            everyone = [*before, *new]
            lines = []
            for count in range(len(new) + 1):
                answers = record["test"].get(f"merged+{count}", {})
                if all(code in answers for code in everyone):
                    values = {code: raw.value(task, code, answers[code]) for code in everyone}
                    lines.append(
                        [
                            f"+ {new[count - 1]}" if count else "as released",
                            *(f"{values[code]:.1f}" for code in everyone),
                            f"{np.mean([values[code] for code in before]):.1f}",
                        ]
                    )
            own = record["test"].get("individual", {})
            alone = [f"{raw.value(task, c, own[c]):.1f}" if c in own else "" for c in everyone]
            lines.append(["own adapter", *alone, ""])
            head = ["merge of", *everyone, "mean of the first"]
            parts.append(f"**{task}**\n\n{_table(head, lines, right=True)}")
    return "\n\n".join(parts)


def curves(raw: Raw) -> str:
    """Return scores of each low-resource language, and of the others, by its rows."""
    records = curve_records(raw)
    parts = []
    for language in dict.fromkeys(record["facts"]["language"] for record in records):
        own = [record for record in records if record["facts"]["language"] == language]
        lines = [
            [
                label,
                *(_curve_cell(raw, record, model) for record in own),
                _against_without(raw, own[-1], model, [language]),
                _against_without(raw, own[-1], model, _others(own[-1])),
            ]
            for model, label in CURVE_MODELS.items()
            if any(language in record["test"].get(model, {}) for record in own)
        ]
        counts = [f"{record['facts']['count']:,} rows" for record in own]
        most = f"with {counts[-1]} minus TIES without it (95%)"
        head = ["model", *counts, most, "likewise, the others"]
        told = f"**{language}**: its score / the mean of the others"
        parts.append(f"{told}\n\n{_table(head, lines, right=True)}")
    return "\n\n".join(parts)


def _curve_cell(raw: Raw, record: Mapping[str, Any], model: str) -> str:
    language, answers = record["facts"]["language"], record["test"].get(model, {})
    if language not in answers:
        return ""
    values = {code: raw.value("reasoning", code, of) for code, of in answers.items()}
    own = f"{values.pop(language):.1f}"
    return f"{own} / {np.mean([*values.values()]):.1f}" if values else own


def _others(record: Mapping[str, Any]) -> list[str]:
    return [c for c in record["test"][_WITHOUT] if c != record["facts"]["language"]]


def _against_without(
    raw: Raw, record: Mapping[str, Any], model: str, languages: Sequence[str]
) -> str:
    """Compare a model with the merge that lacks the low-resource language."""
    answers = {name: record["test"].get(name, {}) for name in (model, _WITHOUT)}
    if model == _WITHOUT or any(c not in of for of in answers.values() for c in languages):
        return ""
    drawn = draw(
        {
            name: {0: {code: raw.sample("reasoning", code, of[code]) for code in languages}}
            for name, of in answers.items()
        }
    )
    return _points(drawn[model].mean.minus(drawn[_WITHOUT].mean))


_WITHOUT = "merged without it"

CURVE_MODELS = {
    "individual": "own adapter",
    _WITHOUT: "TIES without it",
    "merged:equal": "TIES",
    "merged:by size": "TIES, weights by rows",
    "merged:by gain": "TIES, weights by gain",
    "merged:by norm": "TIES, weights by norm",
    "merged:protected": "TIES, protected",
    "merged:donors": "TIES with two donors",
    "merged:chosen": "chosen for the others",
    "combined": "combined",
}


def curve_records(raw: Raw) -> list[dict[str, Any]]:
    """Return the records of the learning curves, by language and rows."""
    paths = (raw.folder / "reasoning").glob("curve-*.json")
    records = [json.loads(path.read_text("utf-8")) for path in paths]
    return sorted(
        (r for r in records if r["facts"]),
        key=lambda r: (r["facts"]["language"], r["facts"]["count"]),
    )


def cost(raw: Raw) -> str:
    """Return the initial cost and what updates cost, against the combined model."""
    parts = []
    lines = []
    for task in raw.tasks:
        record = raw.record(task, raw.first, raw.seeds(task)[0])
        costs = record["facts"].get("costs", {})
        own = [_seconds(costs[code]) for code in _languages(raw, task) if costs.get(code)]
        if own and costs.get("combined"):
            combined = _seconds(costs["combined"])
            lines.append(
                [task, *(f"{s:.0f} s" for s in (sum(own), max(own), combined)),
                 f"{1 - max(own) / combined:.0%}"]
            )  # fmt: skip
    if lines:
        head = ["task", "all adapters", "the longest", "combined", "saved with a device each"]
        parts.append(f"Initial training:\n\n{_table(head, lines, right=True)}")
    if lines := [line for task in raw.tasks if (line := _serving_line(raw, task))]:
        head = ["task", "adapters in memory", "switching", "identifying a text", "right"]
        told = "Serving routed adapters instead (a merge needs none of it)"
        parts.append(f"{told}:\n\n{_table(head, lines, right=True)}")
    path = raw.folder / "upkeep.json"
    if path.exists():
        rows = json.loads(path.read_text("utf-8"))["rows"]
        updates = [row for row in rows if row["update"] != "beginning"]
        lines = [_update_line(row) for row in updates]
        head = ["update", "mode", "merged: all-in", "saves", "ceiling", "merged", "combined",
                "continued"]  # fmt: skip
        parts.append(f"Updates (topic):\n\n{_table(head, lines, right=True)}")
    return "\n\n".join(parts)


def _serving_line(raw: Raw, task: str) -> list[str]:
    """Return what routing by language takes, and how many rows' language is found; or nothing."""
    routing = raw.record(task, raw.first, raw.seeds(task)[0])["facts"].get("routing", {})
    languages = _languages(raw, task)
    if not languages or not routing.keys() >= set(languages):
        return []
    taken = [routing[code] for code in languages]
    rows = sum(sum(of["languages"].values()) for of in taken)
    right = sum(routing[code]["languages"].get(code, 0) for code in languages)
    return [
        task,
        f"{len(languages)}, {max(of['adapter_bytes'] for of in taken) / 1e6:.1f} MB",
        f"{1000 * np.mean([of['switch_seconds'] for of in taken]):.0f} ms",
        f"{1000 * np.mean([of['identify_seconds'] for of in taken]):.1f} ms",
        f"{right / rows:.0%}",
    ]


def _seconds(cost: Mapping[str, Any]) -> float:
    """Return the time of a training over all parts of a run, without loading the base."""
    return float(cost.get("training_seconds", cost["seconds"]))


def _update_line(row: Mapping[str, Any]) -> list[str]:
    saving = row.get("saving against combined")
    of, continued = row["scores"], "combined-continued"
    merged = next((values for model, values in of.items() if model.startswith("merged:")), None)
    return [
        row["update"],
        row["mode"],
        f"{row['update_seconds']:.0f} s",
        "" if saving is None else f"{saving:.0%}",
        f"{row['ceiling']:.0%}" if "ceiling" in row else "",
        "" if merged is None else f"{merged[0]:.1f}",
        f"{of['combined'][0]:.1f}" if "combined" in of else "",
        f"{of[continued][0]:.1f}" if continued in of else "",
    ]


def _languages(raw: Raw, task: str) -> list[str]:
    seeds = raw.seeds(task)
    facts = raw.record(task, raw.first, seeds[0])["facts"] if seeds else {}
    return sorted(facts.get("languages", ()))


def models_of(raw: Raw, task: str, part: str | None = None) -> dict[str, Any]:
    """Return every model that answered all languages of a task, by name and seed."""
    languages = _languages(raw, task)
    return raw.models(task, part or raw.first, languages) if languages else {}


def _chosen(raw: Raw, task: str) -> Mapping[str, Any]:
    """Return what dev chose; empty where it has not been asked to the end."""
    seeds = raw.seeds(task)
    facts = raw.record(task, raw.first, seeds[0])["facts"] if seeds else {}
    chosen: Mapping[str, Any] = facts.get("chosen", {})
    return chosen


def _tested(raw: Raw) -> list[str]:
    """Return the tasks whose chosen merge and combined model are done with the same seeds."""
    found = []
    for task in raw.tasks:
        models = models_of(raw, task)
        ours = models.get(f"merged:{_chosen(raw, task).get('mean')}", {})
        if ours and ours.keys() == models.get("combined", {}).keys():
            found.append(task)
    return found


def _with_left_out(text: str, raw: Raw, shown: Sequence[str]) -> str:
    """Add which tasks a table lacks, since they have only begun."""
    missing = [task for task in raw.tasks if task not in shown]
    note = f"*Left out, not complete yet: {', '.join(missing)}.*" if missing else ""
    return "\n\n".join(part for part in (text, note) if part)


def _dev_mean(raw: Raw, task: str, model: str, beside: str | None = None) -> float:
    """Return a model's mean on dev over the seeds with which it, and another one, were asked."""
    asked = [raw.record(task, raw.first, seed)["dev"] for seed in raw.seeds(task)]
    both = [dev for dev in asked if model in dev and (beside or model) in dev]
    return float(np.mean([np.mean([*dev[model].values()]) for dev in both]))


def _rank(model: str) -> tuple[int, str]:
    return (_ORDER.index(model) if model in _ORDER else len(_ORDER), model)


def _method(recipe: Mapping[str, Any]) -> str:
    return recipe["method"] + (f" in {recipe['space']}" if "space" in recipe else "")


def _cell(score: tuple[float, str] | None) -> str:
    return "" if score is None else f"{score[0]:.1f} (`{score[1]}`)"


def _difference(drawn: Mapping[str, Drawn], one: str, two: str) -> str:
    if one not in drawn or two not in drawn:
        return ""
    return _points(drawn[one].mean.minus(drawn[two].mean))


def _points(difference: Value) -> str:
    return f"{difference.observed:+.1f} ({_pair(difference.interval(), ' to ', '+.1f')})"


def _lost(one: Drawn, two: Drawn) -> str:
    """Return the languages that are significantly under the least retention (Bonferroni)."""
    found = []
    for code, value in one.by_language.items():
        kept = value.per_cent_of(two.by_language[code])
        # The upper bound of a two-sided interval that has the risk above it.
        high = kept.interval(1 - 2 * 0.05 / len(one.by_language)).high
        if high is not None and high < LEAST_RETENTION:
            found.append(f"{code} {kept.observed:.0f}%")
    return ", ".join(found) or "none"


def _pair(interval: Interval, between: str = "–", form: str = ".1f") -> str:
    bounds = (interval.low, interval.high)
    return between.join("?" if bound is None else format(bound, form) for bound in bounds)


def _table(head: Sequence[str], lines: Iterable[Sequence[str]], right: bool = False) -> str:
    rule = ["---", *(["---:"] if right else ["---"]) * (len(head) - 1)]
    rows = [head, rule, *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
