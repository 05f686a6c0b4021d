"""Hand-made rows in the real layouts of public data sets, written as the Hub keeps them.

The columns and types are the sets' own (each recipe's `schema` says where they were looked up); the
texts are made up here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

SENTIMENTS = ("positive", "neutral", "negative")
TOPICS = ("business", "entertainment", "health", "politics", "religion", "sports", "technology")

Rows = list[dict[str, Any]]


def _article(language: str, n: int) -> dict[str, Any]:
    sections = {
        "section_name": [f"Part {n}", f"Other part {n}"],
        "document": [f"{language}: cut the paper {n} times.", f"{language}: glue it {n} times."],
        "summary": [f"Cut it {n} times.", f"Glue it {n} times."],
    }
    english = f"https://www.wikihow.com/Fold-Paper-{n}"
    if language == "english":
        return {"url": english, "article": sections}
    nested = {
        **sections,
        "english_url": [english] * 2,
        "english_section_name": [f"Part {n}"] * 2,
    }
    return {"url": f"https://{language}.wikihow.com/{n}", "article": nested}


def _wiki_lingua(language: str, part: str) -> Rows:
    return [_article(language, n) for n in range(60)]


def _xlsum(language: str, part: str) -> Rows:
    # Article 1 stands in two splits, as some do in sets that were gathered from the web.
    numbers = {"train": range(1, 9), "validation": range(20, 24), "test": [1, *range(40, 43)]}
    return [
        {
            "id": f"{language}-{n}",
            "url": f"https://news.example/{language}/{n}",
            "title": f"Bridge {n}",
            "summary": f"{language}: bridge {n} opened.",
            "text": f"{language}: after {n} years of work the bridge opened on day {n}.",
        }
        for n in numbers[part]
    ]


def _mcsqa(language: str, part: str) -> Rows:
    first = {"train": 0, "validation": 100, "test": 200}[part]
    letters = ["A", "B", "C", "D", "E"]
    return [
        {
            "id": f"{language}{n}",
            "question": f"{language}: where would one put cup {n}?",
            "choices": {"label": letters, "text": [f"place {n} {x}" for x in letters]},
            "answerKey": letters[n % 5],
        }
        for n in range(first, first + 8)
    ]


def _xcopa(language: str, part: str) -> Rows:
    return [
        {
            "premise": f"{language} {part}: the glass {n} fell.",
            "choice1": f"it broke {n}",
            "choice2": f"it sang {n}",
            "question": ("effect", "cause")[n % 2],
            "label": n % 2,
            "idx": n,
            "changed": False,
        }
        for n in range(20)
    ]


def _xstory_cloze(language: str, part: str) -> Rows:
    return [
        {
            "story_id": f"{part}-{n}",
            **{
                f"input_sentence_{k}": f"{language} {part} story {n} line {k}."
                for k in (1, 2, 3, 4)
            },
            "sentence_quiz1": f"all went well {n}.",
            "sentence_quiz2": f"the moon ate it {n}.",
            "answer_right_ending": 1 + n % 2,
        }
        for n in range(30)
    ]


def _belebele(language: str, part: str) -> Rows:
    return [
        {
            "link": f"https://en.wikinews.org/wiki/{n // 2}",
            "question_number": 1 + n % 2,
            "flores_passage": f"{language}: passage {n // 2} on a river.",
            "question": f"{language}: what is {n} about?",
            **{f"mc_answer{k}": f"answer {k} of {n}" for k in (1, 2, 3, 4)},
            "correct_answer_num": str(1 + n % 4),
            "dialect": language,
            "ds": "2023-05-03",
        }
        for n in range(80)
    ]


def _sentiment(text: str, extra: Mapping[str, Any] | None = None) -> Callable[[str, str], Rows]:
    def make(language: str, part: str) -> Rows:
        return [
            {text: f"{language} {part} shop {n}", "label": SENTIMENTS[n % 3], **(extra or {})}
            for n in range(9)
        ]

    return make


def _one_table(language: str, part: str) -> Rows:
    return [
        {**row, "source": "made up", "domain": "shops", "language": code}
        for code in ("de", "en", "fr", "ja", "zh")
        for row in _sentiment("text")(code, part)
    ]


def _masakhanews(language: str, part: str) -> Rows:
    return [
        {
            "label": TOPICS[n % 7],
            "headline": f"{language} {part} head {n}",
            "text": f"body {n}",
            "headline_text": f"{language} {part} head {n} body {n}",
            "url": f"/{part}/{n}",
        }
        for n in range(14)
    ]


_TWEETS = ("negative", "neutral", "positive")

# By recipe: rows of a configuration and split, and the names of the class label, where it is one.
SAMPLES: dict[str, tuple[Callable[[str, str], Rows], tuple[str, ...]]] = {
    "wiki-lingua": (_wiki_lingua, ()),
    "xlsum": (_xlsum, ()),
    "mcsqa": (_mcsqa, ()),
    "xcopa": (_xcopa, ()),
    "xstory-cloze": (_xstory_cloze, ()),
    "belebele": (_belebele, ()),
    "multilingual-sentiment": (_one_table, ()),
    "multilingual-sentiments": (_sentiment("text", {"source": "made up"}), SENTIMENTS),
    "tweet-sentiment-multilingual": (_sentiment("text"), _TWEETS),
    "afrisenti": (_sentiment("tweet"), SENTIMENTS),
    "masakhanews": (_masakhanews, TOPICS),
}


def write_sample(recipe: Any, folder: Path, languages: tuple[str, ...]) -> Path:
    """Write a sample of a data set in the layout of the branch that its recipe reads."""
    import datasets

    make, labels = SAMPLES[recipe.name]
    configurations = [recipe.languages[language] for language in languages]
    if recipe.hub.language:
        configurations = ["default"]
    card = []
    for configuration in configurations:
        card.append(f"- config_name: {configuration}\n  data_files:\n")
        for part in recipe.parts:
            table = datasets.Dataset.from_list(make(configuration, part))
            if labels:
                label = datasets.ClassLabel(names=list(labels))
                table = table.cast_column("label", label)
            if recipe.hub.files is None:
                place = f"{configuration}/{part}-00000-of-00001.parquet"
                card.append(f"  - split: {part}\n    path: {configuration}/{part}-*\n")
            else:
                place = f"{configuration}/{part}/0000.parquet"
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            table.to_parquet(folder / place)
    if recipe.hub.files is None:
        text = "---\nconfigs:\n" + "".join(card) + "---\n"
        (folder / "README.md").write_text(text, encoding="utf-8")
    return folder
