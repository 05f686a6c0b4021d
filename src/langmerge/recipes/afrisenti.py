"""AfriSenti: sentiment of tweets in African languages."""

from __future__ import annotations

from langmerge.recipes.recipe import HubTable, Recipe
from langmerge.recipes.table import fetch_table

RECIPE = Recipe(
    name="afrisenti",
    title="AfriSenti: tweets in fourteen African languages, three labels",
    task="classification",
    task_name="sentiment",
    labels=("negative", "neutral", "positive"),
    prompt="{text}\nSentiment:",
    # Oromo and Tigrinya have no train split, and so no place here.
    languages={
        "am": "amh",
        "arq": "arq",
        "ary": "ary",
        "ha": "hau",
        "ig": "ibo",
        "rw": "kin",
        "pcm": "pcm",
        "pt": "por",
        "sw": "swa",
        "ts": "tso",
        "tw": "twi",
        "yo": "yor",
    },
    licence="read its card; the copy at masakhane/afrisenti names CC BY-NC-SA 2.0",
    size="1,800 (sw) to 22,000 (ha) tweets a language",
    page="https://huggingface.co/datasets/shmuhammad/AfriSenti-twitter-sentiment",
    schema="the way mteb reads it (tweet, label), and the files of the Hub's Parquet branch, which "
    "is read. Pin a commit of that branch with --revision: the set's 'Files' page shows it",
    leakage="a group is a text; equal texts stay in one split, the set's own splits are kept",
    parts={"train": {"train": 1.0}, "validation": {"dev": 1.0}, "test": {"test": 1.0}},
    fetch=fetch_table,
    hub=HubTable(
        path="shmuhammad/AfriSenti-twitter-sentiment",
        revision="refs/convert/parquet",
        files="{configuration}/{split}/*.parquet",
        fields={"text": "tweet", "label": "label"},
    ),
    attribution="Muhammad et al. 2023, EMNLP.",
)
