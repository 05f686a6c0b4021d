"""What keeping a model up costs: updates of one language each, against retraining everything.

    python benchmarks/upkeep.py --packs PACKS --base CHECKPOINT --out FOLDER --json FILE

Five languages of a task are trained, then updated in turn: each gets new rows, one language is
added on the way, and after every update the merged model, the combined model trained from scratch
and the combined model continued on the changed language are evaluated on all languages' test rows.
All are langmerge's own runs (`langmerge run --baselines`); the times are their ledger's. A second
project goes through the same updates with `update.mode: continue`. The script can be killed and
called again: finished jobs are kept. `--tiny` checks the whole thing in seconds with any base.

With `--init ancestor` adapters start from a training on a share of all languages' rows (`--share`),
which is part of the beginning's cost and stays as it is over all updates. `--gentle` is what their
learning rate is of the ancestor's, which is the combined model's, too.

With N languages and evaluating a language costing e of training it, an update that trains one of
them and evaluates all saves at most 1 - (1 + N e) / (N + N e): the ceiling.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from packs import pack_rows, write_rows

from langmerge.cli.run import run_project
from langmerge.engine import Run
from langmerge.plan.graph import COMBINED, COMBINED_CONTINUED, merged
from langmerge.results import RESULTS_FILE, Results

TASK = "topic"
LANGUAGES = ("de", "en", "fr", "ja", "zh")
ADDED = "es"
MAX_LENGTH = 256
LEARNING_RATE = 1e-3
MODES = ("scratch", "continue")


@dataclass(frozen=True)
class Sizes:
    """Rows of a language: in the beginning, new in an update, and of test."""

    train: int
    new: int
    test: int


@dataclass(frozen=True)
class Way:
    """How a project is trained and merged.

    Attributes:
        mode: `update.mode`.
        init: what adapters start from: `shared` or `ancestor`.
        recipe: of the merge.
        dtype: `train.dtype`.
        share: of all languages' rows, which the ancestor is made of.
        gentle: what the adapters' learning rate is of the ancestor's and the combined model's.
    """

    mode: str
    init: str
    recipe: dict[str, Any]
    dtype: str
    share: float
    gentle: float

    def learning_rates(self) -> dict[str, Any]:
        """Return the settings that say at which rate each model is trained, from what share."""
        whole = {"learning_rate": LEARNING_RATE}
        ancestor = {"share": self.share, "train": whole} if self.init == "ancestor" else {}
        return {"learning_rate": LEARNING_RATE * self.gentle, "ancestor": ancestor}


@dataclass(frozen=True)
class Update:
    """A step of the project's life: whose rows change, or who is added."""

    name: str
    language: str | None
    is_added: bool = False


def life(count: int) -> list[Update]:
    """Return the beginning and `count` updates: every language in turn, the sixth adds one."""
    languages = list(LANGUAGES)
    updates = [Update("beginning", None)]
    turn = 0
    for number in range(1, count + 1):
        if number == len(LANGUAGES) + 1:
            languages.append(ADDED)
            updates.append(Update(f"{number}: {ADDED} added", ADDED, is_added=True))
        else:
            language = languages[turn % len(languages)]
            turn += 1
            updates.append(Update(f"{number}: {language} changed", language))
    return updates


def main() -> None:
    """Run both projects through all updates, print the table, keep the rows."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--packs", type=Path, required=True)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="the projects' folder")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument("--updates", type=int, default=10)
    parser.add_argument("--train", type=int, default=60)
    parser.add_argument("--new", type=int, default=12)
    parser.add_argument("--test", type=int, default=40)
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES, help="update.mode")
    parser.add_argument("--init", choices=("shared", "ancestor"), default="shared")
    parser.add_argument(
        "--recipe", type=yaml.safe_load, default={"method": "ties"}, help="of the merge, as YAML"
    )
    parser.add_argument("--dtype", default="auto", help="of training")
    parser.add_argument("--share", type=float, default=0.25, help="of rows, for the ancestor")
    parser.add_argument(
        "--gentle", type=float, default=1.0, help="the adapters' learning rate over the ancestor's"
    )
    parser.add_argument("--tiny", action="store_true", help="a few rows and two updates")
    options = parser.parse_args()
    sizes = Sizes(options.train, options.new, options.test)
    updates = life(options.updates)
    if options.tiny:
        sizes, updates = Sizes(8, 2, 10), life(2)
    rows: list[dict[str, Any]] = []
    for mode in options.modes:
        way = Way(mode, options.init, options.recipe, options.dtype, options.share, options.gentle)
        project = Project(options.out / mode, options.packs, options.base, sizes, way)
        for row in project.live(updates):
            rows.append(row)
            print(_line(row), flush=True)
            if options.json:
                _write(options.json, sizes, way, rows)


class Project:
    """A project on disk that goes through updates.

    Args:
        folder: where it is.
        packs: the data packs.
        base: the base model's checkpoint.
        sizes: of its data.
        way: how it goes. Baselines are measured with `scratch` only: they are the same.
    """

    def __init__(self, folder: Path, packs: Path, base: Path, sizes: Sizes, way: Way) -> None:
        self._folder, self._packs, self._base = folder, packs, base
        self._sizes, self._way = sizes, way
        self._merged = merged(way.recipe["method"])
        self._languages = list(LANGUAGES)
        self._seen: set[str] = set()
        self._train_rows = dict.fromkeys((*LANGUAGES, ADDED), sizes.train)

    def live(self, updates: list[Update]) -> Iterator[dict[str, Any]]:
        """Go through all updates, and yield what each took and how good the models are then."""
        for update in updates:
            if update.is_added and update.language is not None:
                self._languages.append(update.language)
            elif update.language is not None:
                self._train_rows[update.language] += self._sizes.new
            self._write()
            run = run_project(self._folder / "langmerge.yaml", baselines=True)
            yield {
                "mode": self._way.mode,
                "update": update.name,
                **self._costs(run),
                **self._scores(),
            }

    def _write(self) -> None:
        labels = set()
        for language in (*LANGUAGES, ADDED):
            for split, count in (
                ("train", self._train_rows[language]), ("test", self._sizes.test)
            ):  # fmt: skip
                rows = pack_rows(self._packs, TASK, language, split)[:count]
                labels |= {row["label"] for row in rows}
                write_rows(self._folder / "data" / language / f"{split}.jsonl", rows)
        settings = {
            "base": str(self._base.resolve()),
            "languages": self._languages,
            "tasks": {
                TASK: {
                    "type": "classification",
                    "labels": sorted(labels),
                    "prompt": "{text}\nTopic:",
                    "data": {
                        "train": "data/{language}/train.jsonl",
                        "test": "data/{language}/test.jsonl",
                    },
                }
            },
            "adapter": {"r": 16, "lora_alpha": 32, "init": self._way.init},
            "train": {
                "num_train_epochs": 1,
                "per_device_train_batch_size": 8,
                "lr_scheduler_type": "linear",
                "warmup_ratio": 0.1,
                "max_length": MAX_LENGTH,
                "dtype": self._way.dtype,
                **self._way.learning_rates(),
            },
            "combined": {"train": {"learning_rate": LEARNING_RATE}},
            "update": {"mode": self._way.mode, "replay": 0.25},
            "merge": {self._way.recipe["method"]: self._way.recipe},
            "compare": [COMBINED, COMBINED_CONTINUED] if self._way.mode == "scratch" else [],
            "evaluate": {"batch_tokens": 4096},
        }
        text = yaml.safe_dump(settings, sort_keys=False)
        (self._folder / "langmerge.yaml").write_text(text, encoding="utf-8")

    def _costs(self, run: Run) -> dict[str, Any]:
        """Return the device-seconds of each part of an update, and what it saved."""
        parts: dict[str, float] = {}
        evaluations = 0
        models = (self._merged, COMBINED, COMBINED_CONTINUED)
        for result in run.results.values():
            job, action = result.decision.job, result.action
            assert action is not None
            if action.key in self._seen:
                continue
            self._seen.add(action.key)  # Not whether it ran just now: the script may be resumed.
            model = job.model if job.model in models else "adapters"
            part = f"{job.kind} {model}" if job.kind in ("train", "evaluate") else job.kind
            # A training that was killed and resumed took longer than its last process.
            ledger = action.ledger
            seconds = max(ledger["seconds"], ledger.get("training_seconds", 0))
            parts[part] = parts.get(part, 0.0) + seconds
            evaluations += part == f"evaluate {self._merged}"
        found: dict[str, Any] = {"seconds": {name: round(s, 2) for name, s in parts.items()}}
        ours = parts["train adapters"] + parts["merge"] + parts[f"evaluate {self._merged}"]
        found["update_seconds"] = round(ours, 2)
        for model in (COMBINED, COMBINED_CONTINUED):
            if f"train {model}" in parts:
                theirs = parts[f"train {model}"] + parts[f"evaluate {model}"]
                found[f"saving against {model}"] = round(1 - ours / theirs, 4)
        if f"train {COMBINED}" in parts:
            count = len(self._languages)
            # Of the combined model's own training: the adapters' are smaller batches of it.
            e = (
                parts[f"evaluate {self._merged}"]
                / evaluations
                / (parts[f"train {COMBINED}"] / count)
            )
            found |= {
                "e": round(e, 4),
                "ceiling": round(1 - (1 + count * e) / (count * (1 + e)), 4),
            }
        return found

    def _scores(self) -> dict[str, Any]:
        """Return the mean scores of all models after an update, and how the merged one compares."""
        results = Results.model_validate_json(
            (self._folder / RESULTS_FILE).read_text(encoding="utf-8")
        )
        scores = {
            average.model: [average.average.value, average.average.low, average.average.high]
            for average in results.averages
            if average.split == "test"
        }
        differences = {
            compared.against: [
                compared.difference, compared.low, compared.high, compared.p_value
            ]
            for compared in results.comparisons
        }  # fmt: skip
        return {"scores": scores, "merged minus": differences}


def _line(row: dict[str, Any]) -> str:
    scores = ", ".join(f"{model} {values[0]:.1f}" for model, values in row["scores"].items())
    saving = row.get(f"saving against {COMBINED}")
    compared = "" if saving is None else f", saves {saving:.0%} (ceiling {row['ceiling']:.0%})"
    return (
        f"{row['mode']:<9} {row['update']:<16} {row['update_seconds']:6.1f} s{compared}; {scores}"
    )


def _write(path: Path, sizes: Sizes, way: Way, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    machine = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "load": [round(value, 2) for value in os.getloadavg()],
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("langmerge", "torch", "transformers")},
    }
    record = {"sizes": vars(sizes), "way": vars(way), "machine": machine, "rows": rows}
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
