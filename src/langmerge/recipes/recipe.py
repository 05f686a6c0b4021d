"""What a data recipe says: where a public data set is, and how its records become our rows.

A recipe is a value. `langmerge init --recipe` fetches the data once and writes it as plain files in
langmerge's own shapes, with a group for every row and splits that no group straddles; from there on
a project is a project like any other, without network and without a hub.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from langmerge.data.config import SplitName
from langmerge.errors import UserError, did_you_mean

TaskType = Literal["classification", "multiple_choice", "generation"]

Record = Mapping[str, Any]

Shares = Mapping[SplitName, float]
"""Which of our splits a part of a data set goes to, by share of its groups."""


@dataclass(frozen=True)
class Fetched:
    """One record in the columns of one of langmerge's shapes, before it has a split.

    Attributes:
        part: the data set's own split, a key of `Recipe.parts`.
        group: rows with one group, in any language, are about the same thing.
        row: the columns of the shape, without `id` and `group`.
    """

    part: str
    group: str
    row: Mapping[str, Any]


@dataclass(frozen=True)
class Origin:
    """Where a project's data are to be read from, as a user asks for it.

    Attributes:
        folder: a local copy of the data set, in the layout it has at home; None fetches it.
        revision: a branch, tag or commit instead of the recipe's.
        options: the recipe's own options, complete.
        cache: where downloads are kept.
        say: is told what is fetched, and how large it is.
    """

    folder: Path | None = None
    revision: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    cache: Path = Path()
    say: Callable[[str], None] = lambda _: None


Fetch = Callable[["Recipe", str, Origin], Iterable[Fetched]]
"""(recipe, language, origin) -> the language's records."""


@dataclass(frozen=True)
class Option:
    """A setting of one recipe: its default, and what it means."""

    default: str
    help: str


@dataclass(frozen=True)
class Recipe:
    """A public data set as a task of langmerge.

    Attributes:
        name: as `langmerge init --recipe` takes it.
        title: what it is, in one line.
        task: the type of task it makes.
        languages: our code -> the data set's own name for the language.
        licence: under which its publishers give it away.
        size: about how much there is, for people.
        page: where it is described.
        schema: where its columns were looked up, and how its origin is pinned.
        leakage: what is one group, and why no group straddles two splits.
        parts: the data set's splits -> which of ours they become.
        fetch: how records are read.
        prompt: the task's prompt template.
        task_name: the name of the task in the project.
        labels: of a classification task.
        max_new_tokens: of a generation task.
        max_length: tokens of prompt and completion that most rows need.
        options: its own options.
        hub: what `fetch` reads, of a data set of the Hub.
        attribution: text that has to go with the data.
    """

    name: str
    title: str
    task: TaskType
    languages: Mapping[str, str]
    licence: str
    size: str
    page: str
    schema: str
    leakage: str
    parts: Mapping[str, Shares]
    fetch: Fetch
    prompt: str
    task_name: str
    labels: tuple[str, ...] = ()
    max_new_tokens: int = 64
    max_length: int = 512
    options: Mapping[str, Option] = field(default_factory=dict)
    hub: HubTable | None = None
    attribution: str = ""

    def chosen(self, languages: Iterable[str]) -> tuple[str, ...]:
        """Return languages, checked against the recipe's.

        Raises:
            UserError: if one is not known, or none is given.
        """
        chosen = tuple(dict.fromkeys(languages))
        for language in chosen:
            if language not in self.languages:
                raise UserError(
                    f"--languages {language}: {self.name} has no such language"
                    f"{did_you_mean(language, self.languages)} "
                    f"(it has {', '.join(self.languages)})"
                )
        if not chosen:
            raise UserError(f"--languages is missing: {self.name} has {', '.join(self.languages)}")
        return chosen

    def with_options(self, given: Mapping[str, str]) -> dict[str, str]:
        """Return all options of the recipe, those that are given and the others' defaults.

        Raises:
            UserError: if one is not known.
        """
        for name in given:
            if name not in self.options:
                known = ", ".join(self.options) or "none"
                raise UserError(
                    f"--set {name}: {self.name} has no such option"
                    f"{did_you_mean(name, self.options)} (it has {known})"
                )
        return {name: given.get(name, option.default) for name, option in self.options.items()}

    def to_json(self) -> dict[str, Any]:
        """Return what `langmerge recipes --json` prints."""
        names = (
            "name", "title", "task", "licence", "size", "page", "schema", "leakage", "prompt",
            "attribution",
        )  # fmt: skip
        return {
            **{name: getattr(self, name) for name in names},
            "languages": dict(self.languages),
            "parts": {part: dict(shares) for part, shares in self.parts.items()},
            "labels": list(self.labels),
            "options": {name: vars(option) for name, option in self.options.items()},
            "hub": None if self.hub is None else self.hub.to_json(),
        }


@dataclass(frozen=True)
class HubTable:
    """Where a data set of the Hub is, and which of its columns become which of ours.

    `datasets` 5 runs no loading script, so sets that have one are read from the branch
    `refs/convert/parquet`, where the Hub keeps them as plain Parquet.

    Attributes:
        path: its id.
        revision: the commit, or else the branch, that is read; `langmerge init` writes the commit
            it found into the project's `SOURCE.md`.
        fields: our column -> its column, or a template such as `{passage} {question}`.
        files: where the files of one configuration and split are; None for the set's own layout.
        choices: the columns of one choice each, in order.
        first_answer: the number that names the first choice, where answers are counted.
        values: our column -> the set's value -> ours, for labels and answers.
        group: columns that name what a row is about; the first that is there counts.
        group_within_part: whether such a name means something only inside one split of the set.
        explode: a column of nested records, each of which becomes a row.
        language: a column that holds the language, where one table holds them all.
    """

    path: str
    revision: str
    fields: Mapping[str, str]
    files: str | None = None
    choices: Sequence[str] = ()
    first_answer: int = 0
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    group: Sequence[str] = ()
    group_within_part: bool = False
    explode: str | None = None
    language: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {**vars(self), "choices": list(self.choices), "group": list(self.group)}
