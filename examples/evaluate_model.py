"""Evaluate a model or an adapter on labelled texts, with intervals, from Python.

    python examples/evaluate_model.py adapters/de --base path/to/base \
        --data 'data/{language}/test.jsonl' --languages de,en --labels negative,neutral,positive

`langmerge evaluate` does the same from the command line.
"""

from __future__ import annotations

import argparse

from langmerge.data.config import DataConfig
from langmerge.standalone.data import read_data
from langmerge.standalone.evaluation import Options, evaluate
from langmerge.standalone.subject import find
from langmerge.tasks.classification import Classification


def main() -> None:
    """Read the rows, evaluate, and print every metric with its interval."""
    parser = argparse.ArgumentParser(description="Evaluate a model on labelled texts.")
    parser.add_argument("model", help="a checkpoint, an adapter's folder, or a GGUF file")
    parser.add_argument("--base", help="an adapter's base model")
    parser.add_argument("--data", required=True, help="a path with {language} in it")
    parser.add_argument("--languages", required=True, help="such as de,en")
    parser.add_argument("--labels", required=True, help="such as negative,positive")
    parser.add_argument("--prompt", default="{text}\nLabel:")
    chosen = parser.parse_args()

    task = Classification(
        type="classification",
        labels=tuple(chosen.labels.split(",")),
        prompt=chosen.prompt,
        data=DataConfig(train=chosen.data, test=chosen.data),  # nothing here reads train
    )
    splits = read_data(task, chosen.languages.split(","))
    found = evaluate(find(chosen.model, chosen.base), task, splits, Options(confidence=0.9))

    for scores in found.languages:
        value = scores.metrics[task.primary_metric]
        low, high = value.low or 0.0, value.high or 0.0
        print(
            f"{scores.language}: {task.primary_metric} {value.value:.1f} ({low:.1f} to {high:.1f})"
        )
        print(f"  {value.signature}")


if __name__ == "__main__":
    main()
