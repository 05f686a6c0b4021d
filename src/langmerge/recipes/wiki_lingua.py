"""WikiLingua: how-to articles of wikiHow with their one-sentence summaries."""

from __future__ import annotations

from langmerge.recipes.recipe import HubTable, Recipe
from langmerge.recipes.table import fetch_table

RECIPE = Recipe(
    name="wiki-lingua",
    title="WikiLingua: sections of wikiHow articles and their summaries, parallel in content",
    task="generation",
    task_name="summarization",
    prompt="{text}\nSummary:",
    max_new_tokens=96,
    max_length=1024,
    languages={
        "ar": "arabic",
        "cs": "czech",
        "de": "german",
        "en": "english",
        "es": "spanish",
        "fr": "french",
        "hi": "hindi",
        "id": "indonesian",
        "it": "italian",
        "ja": "japanese",
        "ko": "korean",
        "nl": "dutch",
        "pt": "portuguese",
        "ru": "russian",
        "th": "thai",
        "tr": "turkish",
        "vi": "vietnamese",
        "zh": "chinese",
    },
    licence="CC BY 3.0 by its card; wikiHow's own texts are under CC BY-NC-SA 3.0",
    size="1,500 (tr) to 58,000 (en) articles a language, one row for each of their sections",
    page="https://huggingface.co/datasets/esdurmus/wiki_lingua",
    schema="dataset_info of the card at the pinned commit; main holds Parquet, no script is run",
    leakage="a group is an article, told by its English URL in every language: translations of one "
    "article are always in one split. The set has one split only; the shares are ours",
    parts={"train": {"train": 0.8, "dev": 0.08, "test": 0.12}},
    fetch=fetch_table,
    hub=HubTable(
        path="esdurmus/wiki_lingua",
        revision="f214d709f9d1ae47e3051fa71c0c0c14e62b01a6",
        fields={"text": "document", "summary": "summary"},
        explode="article",
        # The English configuration has no english_url: its own url is it.
        group=("english_url", "url"),
    ),
    attribution="Ladhak et al. 2020, arXiv 2010.03093; texts by the authors of wikiHow.",
)
