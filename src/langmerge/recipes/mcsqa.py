"""mCSQA: common-sense questions made anew in every language."""

from __future__ import annotations

from langmerge.recipes.recipe import HubTable, Recipe
from langmerge.recipes.table import fetch_table

RECIPE = Recipe(
    name="mcsqa",
    title="mCSQA: common-sense questions with five choices, made anew in every language",
    task="multiple_choice",
    task_name="reasoning",
    prompt="Question: {question}\nAnswer:",
    languages={
        "de": "de",
        "en": "en",
        "fr": "fr",
        "ja": "ja",
        "nl": "nl",
        "pt": "pt",
        "ru": "ru",
        "zh": "zh",
    },
    licence="'other' by its card: read it there",
    size="about 2 MB of questions a language",
    page="https://huggingface.co/datasets/yusuke1997/mCSQA",
    schema="the columns of CommonsenseQA, which its paper (arXiv 2406.04215) follows; files "
    "and the commit as its history shows them, Parquet on main",
    leakage="a group is a question's text; questions are not translations of each other. The "
    "set's own splits are kept",
    parts={"train": {"train": 1.0}, "validation": {"dev": 1.0}, "test": {"test": 1.0}},
    fetch=fetch_table,
    hub=HubTable(
        path="yusuke1997/mCSQA",
        revision="222f65db1deb2d0c19ff7ae7f6c78893dfc3a66c",
        fields={"question": "question", "choices": "choices", "answer": "answerKey"},
        group=("question",),
    ),
    attribution="Sakai et al. 2024, Findings of ACL.",
)
