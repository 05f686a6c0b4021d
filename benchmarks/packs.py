"""Make a langmerge project of a size that fits a CPU from the multilingual data packs.

    python benchmarks/packs.py --packs ../shared/data --base CHECKPOINT --out packs-150
    langmerge run --project packs-150/langmerge.yaml

Rows are drawn by a hash of what they are about (the package, the entity), so that the languages
get parallel rows where the packs have them, and the same call makes the same project.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

LANGUAGES = ("en", "de", "fr", "ja", "zh")
TASKS = ("topic", "reasoning", "summarization")

PROJECT = """\
base: {base}
languages: [{languages}]
tasks:
  topic:
    type: classification
    labels: [{labels}]
    prompt: "{{text}}\\nTopic:"
    data: data/topic/{{language}}/{{split}}.jsonl
  reasoning:
    type: multiple_choice
    prompt: "Question: {{question}}\\nAnswer:"
    data: data/reasoning/{{language}}/{{split}}.jsonl
  summarization:
    type: generation
    prompt: "{{text}}\\nSummary:"
    max_new_tokens: 32
    data: data/summarization/{{language}}/{{split}}.jsonl
adapter: {{r: 16, lora_alpha: 32, target_modules: all-linear}}
train:
  learning_rate: 1.0e-3
  num_train_epochs: 1
  per_device_train_batch_size: 8
  lr_scheduler_type: linear
  warmup_ratio: 0.1
  max_length: 256
merge:
  ties: {{method: ties, density: 1.0}}
  ties-0.5: {{method: ties, density: 0.5}}
  ties-0.2: {{method: ties, density: 0.2}}
  mean: {{method: mean}}
evaluate: {{batch_tokens: 4096}}
compare: [base, individual, best-single, combined]
"""


def main() -> None:
    """Write the project."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packs", type=Path, required=True)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--train", type=int, default=150)
    parser.add_argument("--dev", type=int, default=20)
    parser.add_argument("--test", type=int, default=60)
    options = parser.parse_args()
    sizes = {"train": options.train, "dev": options.dev, "test": options.test}
    labels: dict[str, None] = {}
    for task in TASKS:
        for language in LANGUAGES:
            for split, size in sizes.items():
                chosen = pack_rows(options.packs, task, language, split)[:size]
                labels |= {row["label"]: None for row in chosen if "label" in row}
                write_rows(options.out / "data" / task / language / f"{split}.jsonl", chosen)
    project = PROJECT.format(
        base=options.base.resolve(),
        languages=", ".join(LANGUAGES),
        labels=", ".join(sorted(labels)),
    )
    (options.out / "langmerge.yaml").write_text(project, encoding="utf-8")
    print(f"wrote {options.out / 'langmerge.yaml'}: {sizes}")


def pack_rows(packs: Path, task: str, language: str, split: str) -> list[dict[str, Any]]:
    """Return the rows of a pack's split with their group, in the order in which they are drawn."""
    lines = (packs / task / language / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
    rows = sorted(map(json.loads, lines), key=_order)
    return [{**row, "group": _subject(row["id"])} for row in rows]


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as JSON Lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text("".join(lines), encoding="utf-8")


_REASONING_ID = re.compile(r"rea-[a-z]+-(?:mon[+-]|day[+-]|[a-z0-9_]+)-(.+?)(?:-v\d+)?")


def _subject(row_id: str) -> str:
    """Return what a row is about, the same in every language: `rea-de-cur-TJ-v1` is about `TJ`."""
    if (found := _REASONING_ID.fullmatch(row_id)) is not None:
        return found[1]
    return row_id.split("-", 2)[2]


def _order(row: Mapping[str, Any]) -> str:
    subject = _subject(str(row["id"]))
    return hashlib.sha256(subject.encode()).hexdigest() + str(row["id"])


if __name__ == "__main__":
    main()
