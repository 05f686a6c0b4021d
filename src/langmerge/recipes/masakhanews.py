"""MasakhaNEWS: topics of news in African languages."""

from __future__ import annotations

from langmerge.recipes.recipe import HubTable, Recipe
from langmerge.recipes.table import fetch_table

RECIPE = Recipe(
    name="masakhanews",
    title="MasakhaNEWS: news in sixteen languages of Africa, seven topics",
    task="classification",
    task_name="topic",
    labels=("business", "entertainment", "health", "politics", "religion", "sports", "technology"),
    prompt="{text}\nTopic:",
    max_length=1024,
    languages={
        "am": "amh",
        "en": "eng",
        "fr": "fra",
        "ha": "hau",
        "ig": "ibo",
        "lg": "lug",
        "ln": "lin",
        "om": "orm",
        "pcm": "pcm",
        "rn": "run",
        "sn": "sna",
        "so": "som",
        "sw": "swa",
        "ti": "tir",
        "xh": "xho",
        "yo": "yor",
    },
    licence="AFL 3.0",
    size="870 (ln) to 4,700 (en) articles a language; not every language has every topic",
    page="https://huggingface.co/datasets/masakhane/masakhanews",
    schema="the card (label, headline, text, headline_text, url); its main branch holds a script, "
    "so the Hub's Parquet branch is read. Pin a commit of that branch with --revision",
    leakage="a group is an article, told by its URL; the set's own splits are kept",
    parts={"train": {"train": 1.0}, "validation": {"dev": 1.0}, "test": {"test": 1.0}},
    fetch=fetch_table,
    hub=HubTable(
        path="masakhane/masakhanews",
        revision="refs/convert/parquet",
        files="{configuration}/{split}/*.parquet",
        fields={"text": "headline_text", "label": "label"},
        group=("url",),
    ),
    attribution="Adelani et al. 2023, IJCNLP-AACL.",
)
