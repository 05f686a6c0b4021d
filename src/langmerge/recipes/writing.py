"""A recipe's data as a project: rows as plain files, a project file, and where it all came from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from langmerge.canonical import digest_of
from langmerge.data.config import SPLITS, SplitName
from langmerge.errors import DataError, ProjectError, UserError
from langmerge.files import write_atomically
from langmerge.project import PROJECT_FILE
from langmerge.recipes.recipe import Fetched, Origin, Recipe
from langmerge.recipes.splitting import assign, thinned

SOURCE_FILE = "SOURCE.md"

Counts = dict[str, dict[SplitName, int]]
"""Rows written, by language and split."""


def write_project(
    recipe: Recipe,
    folder: Path,
    languages: Iterable[str],
    origin: Origin,
    *,
    base: str = "./base-model",
    rows: int | None = None,
) -> Counts:
    """Fetch a recipe's data and write a project of it.

    Args:
        recipe: which.
        folder: is created.
        languages: some of the recipe's.
        origin: where the data are read from.
        base: a path, or `ORG/NAME@COMMIT`.
        rows: at most so many training rows a language, and a quarter of that for dev and test.

    Returns:
        How many rows each language's splits have.

    Raises:
        UserError: for an unknown language or option.
        DataError: if the data cannot be read, or a language has too little of them.
        ProjectError: if the folder has a project already.
    """
    chosen = recipe.chosen(languages)
    base_entry = _base_entry(base)
    if (folder / PROJECT_FILE).exists():
        raise ProjectError(
            f"{folder / PROJECT_FILE}: already there, left as it is; choose another folder"
        )
    if origin.folder is not None and not origin.folder.is_dir():
        raise UserError(f"--source {origin.folder}: no such folder; give a copy of the data set")
    origin = replace(origin, options=recipe.with_options(origin.options))
    commit = _commit(recipe, origin)
    if commit is not None:
        origin = replace(origin, revision=commit)
    fetched = {language: recipe.fetch(recipe, language, origin) for language in chosen}
    splits = assign(fetched, recipe.parts, recipe.name)
    counts: Counts = {}
    files: dict[Path, Iterable[str]] = {}
    for language, of_language in splits.items():
        counts[language] = {}
        for split in SPLITS:
            most = rows if split == "train" or rows is None else max(rows // 4, 1)
            kept = thinned(of_language.get(split, ()), most, recipe.name)
            if not kept:
                raise DataError(
                    f"{recipe.name}: no row of {language} came to {split}; leave the language out"
                )
            path = folder / "data" / recipe.task_name / language / f"{split}.jsonl"
            files[path] = _lines(kept)
            counts[language][split] = len(kept)
    for path, lines in files.items():  # only now: nothing half-made stays behind an error
        write_atomically(path, "".join(lines))
    write_atomically(folder / SOURCE_FILE, _source(recipe, origin, counts))
    write_atomically(folder / PROJECT_FILE, _project(recipe, chosen, base_entry))
    return counts


def _lines(rows: Sequence[Fetched]) -> Iterable[str]:
    seen: set[str] = set()
    for row in rows:
        name = digest_of([row.group, dict(row.row)])[:16]
        if name not in seen:
            seen.add(name)
            content = {"id": name, "group": row.group, **row.row}
            yield json.dumps(content, ensure_ascii=False) + "\n"


def _commit(recipe: Recipe, origin: Origin) -> str | None:
    """Return the commit that a Hub data set's revision is now; None where none is read."""
    if recipe.hub is None or origin.folder is not None:
        return None
    revision = origin.revision or recipe.hub.revision
    if re.fullmatch(r"[0-9a-f]{40}", revision):
        return revision
    from huggingface_hub import HfApi

    try:
        found = HfApi().dataset_info(recipe.hub.path, revision=revision).sha
    except Exception as error:  # whatever its HTTP client raises
        reason = str(error).strip().partition("\n")[0]
        raise DataError(
            f"{recipe.hub.path}@{revision}: cannot be reached ({reason}); check the network, or "
            "give a local copy of the data set with --source FOLDER"
        ) from error
    return found


def _base_entry(base: str) -> str:
    """Return the value of `base:`, as YAML."""
    name, _, revision = base.partition("@")
    if not revision:
        return json.dumps(base)
    if not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise UserError(
            f"--base {base}: expected a path, or ORG/NAME@ and a commit's 40 hex digits"
        )
    return f"{{model: {json.dumps(name)}, revision: {revision}}}"


_PROJECT = """\
# Made by `langmerge init --recipe {name}`: an ordinary project, yours to change.
# The data's source, licence and splits: {source}.
base: {base}
languages: [{languages}]
tasks:
  {task}:
    type: {type}
{options}    prompt: {prompt}
    data: data/{task}/{{language}}/{{split}}.jsonl
adapter:                              # PEFT's names
  r: 16
  lora_alpha: 32
  target_modules: all-linear
train:                                # transformers' names
  learning_rate: 2.0e-4
  num_train_epochs: 3
  per_device_train_batch_size: 8
  warmup_ratio: 0.05
  max_length: {max_length}
merge:
  ties: {{method: ties, density: 1.0}}
compare: [base, individual, best-single, combined]
"""


def _project(recipe: Recipe, languages: Sequence[str], base: str) -> str:
    options: Mapping[str, Any] = {}
    if recipe.task == "classification":
        labels = ", ".join(json.dumps(label, ensure_ascii=False) for label in recipe.labels)
        options = {"labels": f"[{labels}]"}
    elif recipe.task == "generation":
        options = {"max_new_tokens": recipe.max_new_tokens}
    return _PROJECT.format(
        name=recipe.name,
        source=SOURCE_FILE,
        base=base,
        languages=", ".join(json.dumps(language) for language in languages),
        task=recipe.task_name,
        type=recipe.task,
        options="".join(f"    {name}: {value}\n" for name, value in options.items()),
        prompt=json.dumps(recipe.prompt),
        max_length=recipe.max_length,
    )


def _source(recipe: Recipe, origin: Origin, counts: Counts) -> str:
    lines = [f"# {recipe.title}", "", f"Described at {recipe.page}.", ""]
    if recipe.hub is not None:
        at = f"a local copy of {recipe.hub.path}" if origin.folder is not None else (
            f"{recipe.hub.path}, commit {origin.revision}"
        )  # fmt: skip
        lines += [f"Read from {at}.", ""]
    for name, value in origin.options.items():
        lines += [f"Option {name}: {value}", ""]
    lines += [f"Licence: {recipe.licence}.", ""]
    if recipe.attribution:
        lines += [recipe.attribution, ""]
    lines += [f"Splits: {recipe.leakage}.", "", "| language | train | dev | test |"]
    lines += ["|---|---:|---:|---:|"]
    lines += [
        f"| {language} | " + " | ".join(str(of[split]) for split in SPLITS) + " |"
        for language, of in counts.items()
    ]
    return "\n".join(lines) + "\n"
