"""A label that one language's rows lack."""

from __future__ import annotations

from results import Raw

from tables.common import chosen_of, table


def withheld(raw: Raw) -> str:
    """Return what happens to a label that one language's rows lack."""
    task = "topic"
    if not raw.seeds(task, "withheld"):
        return ""
    seed = raw.seeds(task, "withheld")[0]
    record, control = raw.record(task, "withheld", seed), raw.record(task, raw.first, seed)
    _, language, label = record["facts"]["withheld"]
    pairs = {"chosen": f"merged:{chosen_of(raw, task).get('mean')}", "ties-1": "merged:ties-1"}
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
    return f"{language}, whose training rows lack '{label}':\n\n{table(head, lines, right=True)}"
