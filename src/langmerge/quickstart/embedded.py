"""The data that ships with the package, and the projects made of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Literal

from langmerge.data.config import SPLITS
from langmerge.errors import ProjectError
from langmerge.files import write_atomically
from langmerge.project import PROJECT_FILE

QuickstartTask = Literal["sentiment", "reasoning", "summarization"]

LANGUAGES = ("en", "de", "fr", "ja", "zh")
UPDATED_LANGUAGE = "de"

_TASK_OPTIONS: dict[QuickstartTask, str] = {
    "sentiment": """\
    type: classification              # the label of highest log-likelihood; scored by macro-F1
    labels: [negative, neutral, positive]
    prompt: "{text}\\nSentiment:"
""",
    "reasoning": """\
    type: multiple_choice             # the choice of highest log-likelihood; scored by accuracy
    prompt: "Question: {question}\\nAnswer:"
""",
    "summarization": """\
    type: generation                  # generated text; scored by ROUGE and chrF
    prompt: "{text}\\nSummary:"
    max_new_tokens: 32
""",
}

_EPOCHS: dict[QuickstartTask, int] = {"sentiment": 2, "reasoning": 2, "summarization": 2}

_PROJECT = """\
# Made by `langmerge quickstart`: an ordinary project, yours to change.
base: {base}
languages: [{languages}]
tasks:
  {task}:
{options}    data: data/{{language}}/{{split}}.jsonl
adapter:                              # PEFT's names
  r: 16
  lora_alpha: 32
  target_modules: all-linear
train:                                # transformers' names
  learning_rate: 1.0e-3
  num_train_epochs: {epochs}
  per_device_train_batch_size: 7
  warmup_ratio: 0.1
  lr_scheduler_type: linear
  max_length: 256
merge:
  ties: {{method: ties, density: 1.0}}
compare: [base, individual, best-single, combined]
"""


def write_quickstart_project(folder: Path, task: QuickstartTask, base: Path) -> Path:
    """Write the project of an embedded task, or leave one that is already there as it is.

    Returns:
        The project file.

    Raises:
        ProjectError: if the folder holds another project.
        StorageError: if nothing can be written there.
    """
    project_file = folder / PROJECT_FILE
    content = _PROJECT.format(
        base=base,
        languages=", ".join(LANGUAGES),
        task=task,
        options=_TASK_OPTIONS[task],
        epochs=_EPOCHS[task],
    )
    if project_file.exists():
        if project_file.read_text(encoding="utf-8") != content:
            raise ProjectError(
                f"{project_file}: another project is there, or you changed this one; "
                "choose another folder with --out, or go on with `langmerge run`"
            )
        return project_file
    data = {
        folder / "data" / language / f"{split}.jsonl": lines(embedded_rows(task, language, split))
        for language in LANGUAGES
        for split in SPLITS
    }
    # The project file last: where it stands, the project is whole.
    write_new_files({**data, project_file: content})
    return project_file


def write_new_files(contents: Mapping[Path, str]) -> None:
    """Write files, in order, that must not be there yet unless with the same content.

    Raises:
        ProjectError: if a file would be lost; nothing is written then.
        StorageError: if one cannot be written.
    """
    for path, content in contents.items():
        if path.exists() and (path.is_dir() or path.read_bytes() != content.encode()):
            raise ProjectError(f"{path}: already there, left as it is; choose another folder")
    for path, content in contents.items():
        write_atomically(path, content)


def lines(rows: Iterable[str]) -> str:
    """Return rows as the content of a JSON Lines file."""
    return "".join(f"{row}\n" for row in rows)


def add_update_rows(folder: Path, task: QuickstartTask) -> int:
    """Add the embedded update's rows to the updated language's training data.

    Returns:
        How many rows were added: 0 if they are already there.
    """
    train = folder / "data" / UPDATED_LANGUAGE / "train.jsonl"
    known = set(train.read_text(encoding="utf-8").splitlines())
    new = [row for row in embedded_rows(task, UPDATED_LANGUAGE, "update") if row not in known]
    if new:
        write_atomically(train, train.read_text(encoding="utf-8") + lines(new))
    return len(new)


def embedded_rows(task: QuickstartTask, language: str, split: str) -> list[str]:
    """Return the embedded rows of a split as JSON lines."""
    folder = files("langmerge.quickstart") / "data" / task / language
    return (folder / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
