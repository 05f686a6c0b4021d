"""Languages added to a merge."""

from __future__ import annotations

import numpy as np
from results import Raw

from tables.common import table


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
            parts.append(f"**{task}**\n\n{table(head, lines, right=True)}")
    return "\n\n".join(parts)
