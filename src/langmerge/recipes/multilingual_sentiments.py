"""multilingual-sentiments: three labels in twelve languages."""

from __future__ import annotations

from langmerge.recipes.recipe import HubTable, Recipe
from langmerge.recipes.table import fetch_table

RECIPE = Recipe(
    name="multilingual-sentiments",
    title="multilingual-sentiments: reviews and posts, three labels, twelve languages",
    task="classification",
    task_name="sentiment",
    labels=("negative", "neutral", "positive"),
    prompt="{text}\nSentiment:",
    languages={
        "ar": "arabic",
        "de": "german",
        "en": "english",
        "es": "spanish",
        "fr": "french",
        "hi": "hindi",
        "id": "indonesian",
        "it": "italian",
        "ja": "japanese",
        "ms": "malay",
        "pt": "portuguese",
        "zh": "chinese",
    },
    licence="Apache-2.0 by its card; its sources have terms of their own",
    size="about 3,000 texts in most languages, many more in id, ja and zh",
    page="https://huggingface.co/datasets/tyqiangz/multilingual-sentiments",
    schema="the script of its main branch (text, source, label); the Hub's Parquet branch is read. "
    "Pin a commit of that branch with --revision: the set's 'Files' page shows it",
    leakage="a group is a text; equal texts stay in one split, the set's own splits are kept",
    parts={"train": {"train": 1.0}, "validation": {"dev": 1.0}, "test": {"test": 1.0}},
    fetch=fetch_table,
    hub=HubTable(
        path="tyqiangz/multilingual-sentiments",
        revision="refs/convert/parquet",
        files="{configuration}/{split}/*.parquet",
        fields={"text": "text", "label": "label"},
    ),
)
