"""A project's model as a folder: an adapter that every server reads alike, or a full checkpoint."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from langmerge.errors import ProjectError
from langmerge.files import new_folder
from langmerge.selection import Selection

if TYPE_CHECKING:
    from langmerge.adapter import Adapter

_SENTENCEPIECE = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model")
"""Vocabularies that llama.cpp's converter wants, and transformers' fast tokenizers do not write."""
_NAME = "_name_or_path"
_ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors", "langmerge_recipe.json")


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        description: in a few words.
        limits: what servers will not take of it.
    """

    description: str
    limits: tuple[str, ...] = ()


def export_model(
    selection: Selection,
    model: str,
    folder: Path,
    *,
    checkpoint: bool = False,
    public: bool = False,
) -> Exported:
    """Write a project's model to a new folder, with a card and the digests of its files.

    An adapter whose modules differ in rank or scale is written with one of each, to equal effect:
    vLLM and llama.cpp read no patterns.

    Args:
        selection: the model.
        model: its name, for the card.
        folder: is created.
        checkpoint: write a full model.
        public: name the base as others may call it, never by a path of this machine.

    Raises:
        ProjectError: if it is the base itself.
        AdapterError: if the adapter cannot become part of a checkpoint.
        StorageError: if nothing can be written.
    """
    from langmerge.adapter import Adapter
    from langmerge.publish.card import describe
    from langmerge.publish.uniform import is_uniform, uniform
    from langmerge.servers import limits, vllm_rank

    if selection.adapter is None:
        raise ProjectError("--model base: the base is there already; export a model made of it")
    adapter = Adapter.load(selection.adapter)
    with new_folder(folder) as unfinished:
        if checkpoint:
            _write_checkpoint(selection, adapter, unfinished)
            exported = Exported("a full checkpoint")
        else:
            if is_uniform(adapter):
                for name in _ADAPTER_FILES:
                    if (selection.adapter / name).exists():
                        shutil.copyfile(selection.adapter / name, unfinished / name)
            else:
                uniform(adapter).save(unfinished)
            rank = vllm_rank(adapter)
            served = f", for vLLM with --max-lora-rank {rank}" if rank is not None else ""
            exported = Exported(f"a PEFT adapter{served}", tuple(limits(adapter)))
        if public:
            _name_base(unfinished, selection)
        describe(unfinished, selection, model, is_checkpoint=checkpoint)
    return exported


def _name_base(folder: Path, selection: Selection) -> None:
    """Let the configurations in a folder name the base without a path."""
    from langmerge.upkeep.card import public_name

    name = public_name(selection.workspace.base.name).name
    for file, key in (("adapter_config.json", "base_model_name_or_path"), ("config.json", _NAME)):
        path = folder / file
        if path.is_file() and key in (config := json.loads(path.read_text(encoding="utf-8"))):
            text = json.dumps({**config, key: name}, indent=2, sort_keys=True, ensure_ascii=False)
            path.write_text(text + "\n", encoding="utf-8")


def _write_checkpoint(selection: Selection, adapter: Adapter, folder: Path) -> None:
    from langmerge.model import load_base, save_merged_checkpoint

    resolved = selection.workspace.base
    save_merged_checkpoint(load_base(resolved, device="cpu"), adapter, folder)
    if resolved.kind == "folder":
        copy_vocabulary(Path(resolved.location), folder)


def copy_vocabulary(base: Path, folder: Path) -> None:
    """Copy a base's SentencePiece files beside its checkpoint, where they are not there yet."""
    for name in _SENTENCEPIECE:
        if (base / name).is_file() and not (folder / name).exists():
            shutil.copyfile(base / name, folder / name)
