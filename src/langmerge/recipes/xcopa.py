"""XCOPA: which of two sentences is the cause, or the effect, of a third."""

from __future__ import annotations

from langmerge.recipes.recipe import HubTable, Recipe
from langmerge.recipes.table import fetch_table

RECIPE = Recipe(
    name="xcopa",
    title="XCOPA: cause or effect of a sentence, two choices, parallel in eleven languages",
    task="multiple_choice",
    task_name="reasoning",
    prompt="{question}:",
    languages={
        "et": "et",
        "ht": "ht",
        "id": "id",
        "it": "it",
        "qu": "qu",
        "sw": "sw",
        "ta": "ta",
        "th": "th",
        "tr": "tr",
        "vi": "vi",
        "zh": "zh",
    },
    licence="CC BY 4.0",
    size="600 questions a language: 100 of its validation, of which train and dev are made, and "
    "500 of its test",
    page="https://huggingface.co/datasets/cambridgeltl/xcopa",
    schema="the columns that its loading script and evaluation harnesses use; the pinned commit of "
    "main holds Parquet",
    leakage="a group is a question, told by its number, which is the same in every language. Its "
    "test split stays the test split; train and dev are its validation split",
    # Numbers start anew in each of its splits, so a number is no name by itself.
    parts={"validation": {"train": 0.8, "dev": 0.2}, "test": {"test": 1.0}},
    fetch=fetch_table,
    hub=HubTable(
        path="cambridgeltl/xcopa",
        revision="042f78955ba48e6404616762fa6e05e839c3907a",
        fields={"question": "{premise} {question}", "answer": "label"},
        choices=("choice1", "choice2"),
        group=("idx",),
        group_within_part=True,
    ),
    attribution="Ponti et al. 2020, EMNLP.",
)
