"""The `data:` part of a task in `langmerge.yaml`: where each language's splits are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from langmerge.data.hub import HubSource
from langmerge.data.sources import FileSource
from langmerge.errors import ProjectError
from langmerge.settings import Settings

SplitName = Literal["train", "dev", "gate", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "dev", "test")
"""What data sets usually have; `gate` is an extra."""


_LANGUAGE = "{language}"
_SPLIT = "{split}"


class HubData(Settings):
    """A data set on the Hugging Face Hub, or a local folder that `datasets` loads."""

    path: str
    """The data set's id or a local folder; `{language}` is filled in."""
    name: str | None = None
    """The configuration of the data set; `{language}` is filled in."""
    revision: str | None = None
    """The 40 hex digits of a commit; needed unless `path` is a local folder."""
    splits: Mapping[SplitName, str] = {"train": "train", "dev": "validation", "test": "test"}
    """Our split: the data set's."""

    @field_validator("splits")
    @classmethod
    def _has_train_and_test(cls, splits: Mapping[SplitName, str]) -> Mapping[SplitName, str]:
        if missing := {"train", "test"} - set(splits):
            raise ValueError(f"'{min(missing)}' is missing; name the data set's split for it")
        return splits

    def source(self, language: str, split: SplitName, folder: Path) -> HubSource:
        """Return the source of one split; `{language}` is filled in, a local path anchored.

        Raises:
            ProjectError: if it is not a local folder, and no commit pins it.
        """
        path = self.path.replace(_LANGUAGE, language)
        if (folder / path).is_dir():
            path = str(folder / path)
        elif self.revision is None:
            raise ProjectError(
                f"hub data set '{path}': no revision:, so it could change unseen; give the 40 hex "
                "digits of a commit, as the data set's page on the Hub shows them"
            )
        return HubSource(
            path=path,
            name=self.name and self.name.replace(_LANGUAGE, language),
            split=self.splits[split].replace(_LANGUAGE, language),
            revision=self.revision,
        )


class DataConfig(Settings):
    """Files per split, or a Hub data set.

    A single string is short for three paths: `data/{language}/{split}.jsonl`. Paths are relative
    to the project file. Without `{language}` in them all languages stand in one file, and
    `language_column` tells them apart. Releases are compared on `gate:`, or on `dev:` without it.
    """

    train: str | None = None
    """Rows that adapters are trained on."""
    dev: str | None = None
    """Rows to choose by: the best single adapter, and the gate where it has none."""
    gate: str | None = None
    """Rows on which a release is compared with the one before."""
    test: str | None = None
    """Rows that results are reported on."""
    hub: HubData | None = None
    """A data set of the Hub, in place of files."""
    format: Literal["jsonl", "json", "csv", "tsv", "parquet"] | None = None
    """By the file's suffix unless given."""
    columns: Mapping[str, str] = Field(default={}, description="our name: the file's column")
    language_column: str | None = None
    """The column that names a row's language, where one file holds several."""

    @model_validator(mode="before")
    @classmethod
    def _expand_short_form(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if _SPLIT not in value:
            raise ValueError(
                f"'{value}' names one file for three splits; write "
                "'data/{language}/{split}.jsonl', or train:, dev: and test: apart"
            )
        return {split: value.replace(_SPLIT, split) for split in SPLITS}

    @model_validator(mode="after")
    def _has_train_and_test(self) -> DataConfig:
        if self.hub is None and not (self.train and self.test):
            raise ValueError("train: and test: are needed (or hub:); dev: is needed for choosing")
        return self

    def has(self, split: SplitName) -> bool:
        """Whether there is such a split."""
        return getattr(self, split) is not None if self.hub is None else split in self.hub.splits

    def sources(self, language: str, folder: Path) -> dict[SplitName, FileSource | HubSource]:
        """Return where each split of a language is read from; `folder` anchors relative paths."""
        if self.hub is not None:
            return {split: self.hub.source(language, split, folder) for split in self.hub.splits}
        names: tuple[SplitName, ...] = get_args(SplitName)
        paths = {split: getattr(self, split) for split in names}
        return {
            split: FileSource(folder / path.replace(_LANGUAGE, language), self.format)
            for split, path in paths.items()
            if path is not None
        }
