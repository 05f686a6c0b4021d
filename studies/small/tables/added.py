"""Languages added to a merge."""

from __future__ import annotations

import numpy as np
from intervals import draw, mean_of
from results import Raw

from tables.common import points, table


def added(raw: Raw) -> str:
    """Return what each further language does to the merge, and to the languages before it."""
    parts = []
    for task in raw.tasks:
        for seed in raw.seeds(task, "added")[:1]:
            record = raw.record(task, "added", seed)
            before, new = record["facts"]["before"], record["facts"]["added"]
            everyone = [*before, *new]
            models = {
                count: {code: raw.sample(task, code, of[code]) for code in everyone}
                for count in range(len(new) + 1)
                if (of := record["test"].get(f"merged+{count}", {})).keys() >= set(everyone)
            }
            drawn = draw({str(count): {seed: of} for count, of in models.items()})
            lines = []
            for count in models:
                values = drawn[str(count)].by_language
                gains = {c: values[c].minus(drawn["0"].by_language[c]) for c in everyone}
                lines.append(
                    [
                        f"+ {new[count - 1]}" if count else "as released",
                        *(f"{values[code].observed:.1f}" for code in everyone),
                        f"{np.mean([values[code].observed for code in before]):.1f}",
                        points(mean_of([gains[code] for code in before])) if count else "",
                        points(gains[new[count - 1]]) if count else "",
                    ]
                )
            own = record["test"].get("individual", {})
            alone = [f"{raw.value(task, c, own[c]):.1f}" if c in own else "" for c in everyone]
            lines.append(["own adapter", *alone, "", "", ""])
            head = [
                "merge of", *everyone, "mean of the first", "minus as released (95%)",
                "the added one, likewise",
            ]  # fmt: skip
            parts.append(f"**{task}**\n\n{table(head, lines, right=True)}")
    return "\n\n".join(parts)
