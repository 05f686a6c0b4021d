"""The project that `langmerge init` writes: every key with a comment, rows for each task type."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from langmerge.data.config import SPLITS
from langmerge.project import PROJECT_FILE
from langmerge.quickstart.embedded import (
    QuickstartTask,
    embedded_rows,
    lines,
    write_new_files,
)

_PROJECT = """\
# A langmerge project. Keys follow PEFT (adapter) and transformers (train).
# Check it with `langmerge check`, see what would run with `langmerge plan`.

# The base model all adapters share: a local folder with a safetensors checkpoint, a GGUF file,
# or a Hub model pinned to a commit:
#   base: {model: google/gemma-3-270m, revision: <40 hex digits>}
base: ./base-model

# A list, or a mapping where a language does something differently:
#   languages:
#     en:
#     de: {train: {num_train_epochs: 5}, adapter: {r: 32}, data: {sentiment: "german/{split}.csv"}}
languages: [en, de]

tasks:
  sentiment:
    type: classification            # label log-likelihood; macro-F1, weighted-F1, accuracy
    labels: [negative, neutral, positive]
    prompt: "{text}\\nSentiment:"    # or one per language: {default: ..., de: ...}
    # {language} and {split} (train, dev, test) are filled in. JSONL, JSON, CSV, TSV and Parquet
    # are recognized; `columns: {text: review, label: stars}` renames.
    data: data/sentiment/{language}/{split}.jsonl

  reasoning:
    type: multiple_choice           # log-likelihood of each choice; accuracy, macro-F1
    prompt: "Question: {question}\\nAnswer:"
    data: data/reasoning/{language}/{split}.jsonl

  summarization:
    type: generation                # generated text; ROUGE-1/2/L and chrF, right for every script
    prompt: "{text}\\nSummary:"
    max_new_tokens: 64
    data: data/summarization/{language}/{split}.jsonl

adapter:
  r: 16
  lora_alpha: 32
  lora_dropout: 0.0
  target_modules: all-linear

train:
  learning_rate: 2.0e-4
  num_train_epochs: 3
  per_device_train_batch_size: 8
  gradient_accumulation_steps: 1
  lr_scheduler_type: cosine         # or linear, constant
  warmup_ratio: 0.05
  max_length: 512                   # tokens of prompt and completion; longer ones are cut

# Recipes by name; docs/methods lists methods and their parameters.
merge:
  ties: {method: ties, density: 1.0}
  dts: {method: DTS, density: 0.8}  # DARE-TIES

# What the merged models are measured against. best-single chooses on dev.
compare: [base, individual, best-single, combined]

seeds: [0]
"""

_LANGUAGES = ("en", "de")
_ROWS_PER_SPLIT = 6


def write_sample_project(folder: Path) -> list[Path]:
    """Write the commented project file and a few sample rows per split; return the files written.

    Raises:
        ProjectError: if a file is there already.
        StorageError: if nothing can be written there.
    """
    data = {
        folder / "data" / task / language / f"{split}.jsonl": lines(
            embedded_rows(task, language, split)[:_ROWS_PER_SPLIT]
        )
        for task in get_args(QuickstartTask)
        for language in _LANGUAGES
        for split in SPLITS
    }
    contents = {**data, folder / PROJECT_FILE: _PROJECT}
    write_new_files(contents)
    return list(contents)
