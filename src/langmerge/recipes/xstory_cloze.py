"""XStoryCloze: the right ending of a story of four sentences."""

from __future__ import annotations

from langmerge.recipes.recipe import HubTable, Recipe
from langmerge.recipes.table import fetch_table

RECIPE = Recipe(
    name="xstory-cloze",
    title="XStoryCloze: the right one of two endings of a story, parallel in eleven languages",
    task="multiple_choice",
    task_name="reasoning",
    prompt="{question}",
    languages={
        "ar": "ar",
        "en": "en",
        "es": "es",
        "eu": "eu",
        "hi": "hi",
        "id": "id",
        "my": "my",
        "ru": "ru",
        "sw": "sw",
        "te": "te",
        "zh": "zh",
    },
    licence="CC BY-SA 4.0",
    size="1,871 stories a language: 360 of its train, 1,511 of its eval",
    page="https://huggingface.co/datasets/juletxara/xstory_cloze",
    schema="the card; its main branch holds a script, so the Hub's Parquet branch is read. Pin a "
    "commit of that branch with --revision: the set's 'Files' page shows it",
    leakage="a group is a story, told by its id, which is the same in every language; eval is our "
    "test split, its train split gives train and dev",
    parts={"train": {"train": 0.85, "dev": 0.15}, "eval": {"test": 1.0}},
    fetch=fetch_table,
    hub=HubTable(
        path="juletxara/xstory_cloze",
        revision="refs/convert/parquet",
        files="{configuration}/{split}/*.parquet",
        fields={
            "question": "{input_sentence_1} {input_sentence_2} {input_sentence_3} "
            "{input_sentence_4}",
            "answer": "answer_right_ending",
        },
        choices=("sentence_quiz1", "sentence_quiz2"),
        first_answer=1,
        group=("story_id",),
    ),
    attribution="Lin et al. 2022, EMNLP.",
)
