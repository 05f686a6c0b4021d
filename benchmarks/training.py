"""Training several adapters: in one step or one after the other, against TRL, and five languages.

    python benchmarks/training.py grouped     # five adapters: one step for all, against one each
    python benchmarks/training.py trl         # one adapter: ours against TRL's SFTTrainer, and why
    python benchmarks/training.py makespan    # five languages, three tasks, on 1 to 5 devices

Both sides run in one process on the same base, one after the other. `--shape small` (the default)
is a small model for a CPU; `--device cuda --shape 8b` and `270m` have the shapes of Llama 3.1 8B
and Gemma 3 270M with random weights: they take the same time as trained ones. Losses mean something
with `--base CHECKPOINT --data FOLDER` (a folder of packs: TASK/LANGUAGE/SPLIT.jsonl, such as
`src/langmerge/quickstart/data`). `--json FILE` keeps the rows as they come; called again, what is
in the file is not measured again.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from training_cases import (
    LANGUAGES,
    TASKS,
    checkpoint_base,
    even_rows,
    makespan,
    random_base,
    real_rows,
    task_rows,
)

Row = dict[str, Any]

SIZES = {"small": (64, 128, 256, 512), "270m": (128, 256, 512, 1024, 2048, 4096)}
SIZES["8b"] = SIZES["270m"]
ROW_TOKENS = 128
WARM_UP = 2


def main() -> None:
    """Run one part and print its rows."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("part", choices=("grouped", "trl", "makespan"))
    parser.add_argument("--shape", choices=("small", "270m", "8b"), default="small")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--base", type=Path, help="a checkpoint, instead of random weights")
    parser.add_argument("--data", type=Path, help="a folder of packs, instead of random rows")
    parser.add_argument("--tokens", type=int, nargs="*", help="tokens a step and language")
    parser.add_argument("--tasks", nargs="*", default=TASKS)
    parser.add_argument("--rank", type=int, default=64)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rows", type=int, default=80, help="training rows a language")
    parser.add_argument("--steps", type=int, default=5, help="measured steps of each way")
    parser.add_argument("--learning-rate", type=float, default=2e-4)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", type=Path, help="keep the rows in this file")
    options = parser.parse_args()
    if options.threads:
        import torch

        torch.set_num_threads(options.threads)
    kept = _kept(options.json)
    part = {"grouped": grouped_part, "trl": trl_part, "makespan": makespan_part}[options.part]
    for found, measure in part(options):
        case = _settings(options) | found
        row = next((of for of in kept if case.items() <= of.items()), None)
        if row is None:
            row = case | measure()
            kept.append(row)
            _write(options.json, kept)
        print("  ".join(f"{key}={_short(of)}" for key, of in row.items()), flush=True)


def grouped_part(options: argparse.Namespace) -> Iterator[tuple[Row, Callable[[], Row]]]:
    """Five adapters at several lengths of a step."""
    base = base_of(options)
    for tokens in options.tokens or SIZES[options.shape]:
        yield {"tokens": tokens}, lambda tokens=tokens: _both_ways(base, tokens, options)


def _both_ways(base: Any, tokens: int, options: argparse.Namespace) -> Row:
    width = min(tokens, ROW_TOKENS)
    asked = [
        lesson(options, name, even_rows(width, 4 * tokens // width, base.vocabulary_size, at))
        for at, name in enumerate(LANGUAGES)
    ]
    config = asked[0].config.model_copy(
        update={"per_device_train_batch_size": tokens // width, "max_steps": 10_000}
    )
    asked = [replace(of, config=config) for of in asked]
    alone = sum(_step_seconds(base, [of], "sequential", options.steps) for of in asked)
    together = _step_seconds(base, asked, "grouped", options.steps)
    return {
        "sequential_ms": round(1e3 * alone, 1),
        "grouped_ms": round(1e3 * together, 1),
        "ratio": round(alone / together, 2),
    }


def _step_seconds(base: Any, asked: list[Any], way: Any, steps: int) -> float:
    from langmerge.train.checkpoint import Writer
    from langmerge.train.rounds import Rounds

    with Writer() as writer:
        rounds = Rounds(base, writer, 1e9, None, None)
        timings = rounds.go(rounds.begin(asked), way, 0, limit=WARM_UP + steps)
    return statistics.median(timing.seconds for timing in timings[WARM_UP:])


def trl_part(options: argparse.Namespace) -> Iterator[tuple[Row, Callable[[], Row]]]:
    """One adapter, ours with and without each lever, and TRL with several settings."""
    from training_trl import LEVERS, VARIANTS, ours, theirs

    for task in options.tasks:
        for lever in LEVERS:
            yield (
                {"task": task, "side": "langmerge", "how": lever},
                lambda task=task, lever=lever: ours(*_one(options, task), lever),
            )
        for variant in VARIANTS:
            yield (
                {"task": task, "side": "trl", "how": variant},
                lambda task=task, variant=variant: theirs(*_one(options, task), variant),
            )


def _one(options: argparse.Namespace, task: str) -> tuple[Any, Any]:
    base = base_of(options)  # a new one: PEFT changes what it is given
    return base, lesson(options, "de", rows_of(base, options, task, "de", "train"))


def makespan_part(options: argparse.Namespace) -> Iterator[tuple[Row, Callable[[], Row]]]:
    """Five languages from nothing: each way whole, with the loss that it reaches."""
    base = base_of(options)
    for task in options.tasks:
        for way in ("sequential", "grouped", "combined", "combined, equal tokens"):
            yield (
                {"task": task, "way": way},
                lambda task=task, way=way: _whole(base, options, task, way),
            )


def _whole(base: Any, options: argparse.Namespace, task: str, way: str) -> Row:
    from langmerge.train import train_adapters

    train = {of: rows_of(base, options, task, of, "train") for of in LANGUAGES}
    dev = {of: rows_of(base, options, task, of, "dev") for of in LANGUAGES}
    if way.startswith("combined"):
        times = len(LANGUAGES) if way != "combined" else 1
        every = [row for rows in train.values() for row in rows]
        asked = [lesson(options, "combined", every, times, [r for of in dev.values() for r in of])]
    else:
        asked = [lesson(options, name, train[name], 1, dev[name]) for name in LANGUAGES]
    done = train_adapters(base, asked, grouping="grouped" if way == "grouped" else "sequential")
    results = list(done.outcomes.values())
    seconds = [result.seconds for result in results]
    spans = {}
    for devices in range(1, len(LANGUAGES) + 1):
        if way == "sequential":
            spans[devices] = round(makespan(seconds, devices), 3)
        elif way == "grouped":
            spans[devices] = round(_grouped_on(base, asked, devices, sum(seconds)), 3)
        else:
            spans[devices] = round(sum(seconds), 3)  # one adapter is on one device
    return {
        "device_seconds": round(sum(seconds), 3),
        "makespan": spans,
        "tokens": sum(result.tokens for result in results),
        "padded_tokens": sum(result.padded_tokens for result in results),
        "dev_loss": round(statistics.mean(of.dev_losses[-1].loss for of in results), 4),
    }


def _grouped_on(base: Any, asked: list[Any], devices: int, whole: float) -> float:
    """Return the makespan of groups spread over devices, by the seconds of a few of their steps."""
    if devices == 1:
        return whole
    size = -(-len(asked) // devices)  # of the largest group, which ends last
    ways = "grouped" if size > 1 else "sequential"
    part = _step_seconds(base, asked[:size], ways, 3)
    return whole * part / _step_seconds(base, asked, "grouped", 3)


def lesson(
    options: argparse.Namespace, name: str, rows: list[Any], times: int = 1, dev: Any = ()
) -> Any:
    """Return what one adapter learns: an epoch over its rows, in batches of `times` the size."""
    from langmerge.train import Lesson
    from langmerge.train.config import LoraSettings, TrainConfig

    config = TrainConfig(
        learning_rate=options.learning_rate,
        num_train_epochs=1,
        per_device_train_batch_size=times * options.batch,
        eval_steps=1_000_000 if dev else 0,  # at the end
    )
    lora = LoraSettings(r=options.rank, lora_alpha=options.rank)
    return Lesson(name, rows, lora, config, seed=0, dev=dev)


def base_of(options: argparse.Namespace) -> Any:
    """Return the base that the options name."""
    if options.base:
        return checkpoint_base(options.base, options.device)
    return random_base(options.shape, options.device)


def rows_of(base: Any, options: argparse.Namespace, task: str, language: str, split: str) -> Any:
    """Return the rows that the options name."""
    count = options.rows if split == "train" else options.rows // 4
    if options.data:
        return real_rows(base, options.data, task, language, split, count)
    seed = 2 * LANGUAGES.index(language) + (split == "train")
    return task_rows(task, count, base.vocabulary_size, seed)


def _settings(options: argparse.Namespace) -> Row:
    chosen = ("part", "shape", "device", "rank", "batch", "rows")
    row = {name: getattr(options, name) for name in chosen}
    if options.base:
        row["shape"] = options.base.name
    return row | {"data": "real" if options.data else "random"}


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return "/".join(_short(of) for of in value.values())
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _kept(path: Path | None) -> list[Row]:
    if path is None or not path.exists():
        return []
    rows: list[Row] = json.loads(path.read_text("utf-8"))["rows"]
    return rows


def _write(path: Path | None, rows: list[Row]) -> None:
    if path is None:
        return
    import torch

    packages = ("langmerge", "torch", "transformers", "peft", "trl")
    machine = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "processor": platform.processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": [round(value, 2) for value in os.getloadavg()],
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "versions": {name: version(name) for name in packages},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": machine, "rows": rows}, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
