"""MultiLingualSentiment: three labels in sixteen languages."""

from __future__ import annotations

from langmerge.recipes.recipe import HubTable, Recipe
from langmerge.recipes.table import fetch_table

RECIPE = Recipe(
    name="multilingual-sentiment",
    title="MultiLingualSentiment: reviews and posts from many sources, three labels",
    task="classification",
    task_name="sentiment",
    labels=("negative", "neutral", "positive"),
    prompt="{text}\nSentiment:",
    languages={
        "ar": "ar",
        "de": "de",
        "en": "en",
        "es": "es",
        "fr": "fr",
        "hi": "hi",
        "id": "id",
        "it": "it",
        "ja": "ja",
        "ko": "ko",
        "ms": "ms",
        "pt": "pt",
        "ru": "ru",
        "tr": "tr",
        "vi": "vi",
        "zh": "zh",
    },
    licence="Apache-2.0 by its card; its sources have terms of their own",
    size="3.9 million texts in one table (988 MB are downloaded)",
    page="https://huggingface.co/datasets/clapAI/MultiLingualSentiment",
    schema="dataset_info of the card, 2024; the Hub's Parquet branch at the pinned commit",
    leakage="a group is a text; equal texts stay in one split, the set's own splits are kept",
    parts={"train": {"train": 1.0}, "validation": {"dev": 1.0}, "test": {"test": 1.0}},
    fetch=fetch_table,
    hub=HubTable(
        path="clapAI/MultiLingualSentiment",
        revision="45f5f93fe887bf038ca7d3a67a23b803aa866e73",
        files="default/{split}/*.parquet",
        fields={"text": "text", "label": "label"},
        language="language",
    ),
)
