"""Sentiment of tweets in eight languages, of equal size."""

from __future__ import annotations

from langmerge.recipes.recipe import HubTable, Recipe
from langmerge.recipes.table import fetch_table

RECIPE = Recipe(
    name="tweet-sentiment-multilingual",
    title="tweet_sentiment_multilingual: tweets, three labels, eight languages of equal size",
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
        "it": "italian",
        "pt": "portuguese",
    },
    licence="none named by its card; gathered from sets with terms of their own",
    size="1,839 train, 324 validation and 870 test tweets a language",
    page="https://huggingface.co/datasets/cardiffnlp/tweet_sentiment_multilingual",
    schema="the card (text, label); its main branch holds a script, so the Hub's Parquet branch is "
    "read. Pin a commit of that branch with --revision: the set's 'Files' page shows it",
    leakage="a group is a text; equal texts stay in one split, the set's own splits are kept",
    parts={"train": {"train": 1.0}, "validation": {"dev": 1.0}, "test": {"test": 1.0}},
    fetch=fetch_table,
    hub=HubTable(
        path="cardiffnlp/tweet_sentiment_multilingual",
        revision="refs/convert/parquet",
        files="{configuration}/{split}/*.parquet",
        fields={"text": "text", "label": "label"},
    ),
    attribution="Barbieri et al. 2022, LREC (XLM-T).",
)
