"""A full checkpoint in a local folder: which tensor is in which file, and what else is there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from langmerge.canonical import parse_json
from langmerge.errors import AdapterError, MergeError, StorageError, did_you_mean
from langmerge.tensors import DTYPES, FLOAT_DTYPES, FileTensors, Replacing, TensorHeader, size_of

_SINGLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_CONFIG = "config.json"
_WEIGHTS = {".safetensors", ".bin", ".pt", ".pth", ".gguf", ".h5", ".msgpack", ".onnx"}
_EMBEDDINGS = ("embed_tokens.weight", "wte.weight", "word_embeddings.weight", "embed_in.weight")
_HEAD = "lm_head.weight"


class Checkpoint:
    """A checkpoint that transformers' `save_pretrained` wrote; opened, no tensor read."""

    def __init__(self, folder: str | Path) -> None:
        """Read the configuration and the headers.

        Raises:
            MergeError: if the folder holds no safetensors checkpoint with plain weights.
        """
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise MergeError(
                f"base {folder}: expected a folder with a safetensors checkpoint; fetch a model "
                "of the Hub first, with `hf download`"
            )
        self.config = self._json(_CONFIG)
        if self.config.get("quantization_config"):
            raise MergeError(
                f"base {folder}: its weights are quantized, so nothing can be added to them; use "
                "the checkpoint it was quantized from"
            )
        try:
            self.files = {name: FileTensors(self.folder / name) for name in self._file_names()}
        except AdapterError as error:
            raise MergeError(f"base {error}") from error
        self._file_of = {
            tensor: name for name, file in self.files.items() for tensor in file.headers
        }
        for tensor in self._file_of:
            if self.header(tensor).dtype not in DTYPES:
                raise MergeError(
                    f"base {folder}: tensor '{tensor}' is {self.header(tensor).dtype}, expected "
                    f"one of {', '.join(FLOAT_DTYPES)}; use a checkpoint that is not quantized"
                )

    @cached_property
    def names(self) -> frozenset[str]:
        """All tensors."""
        return frozenset(self._file_of)

    @property
    def size(self) -> int:
        """The bytes of all tensors."""
        return sum(size_of(self.header(tensor)) for tensor in self._file_of)

    def header(self, tensor: str) -> TensorHeader:
        """Return a tensor's dtype and shape."""
        return self.files[self._file_of[tensor]].headers[tensor]

    def file_of(self, tensor: str) -> str:
        """Return the file that holds a tensor."""
        return self._file_of[tensor]

    def read(self, tensor: str) -> Tensor:
        """Read one tensor."""
        return self.files[self._file_of[tensor]].read(tensor)

    @cached_property
    def tied(self) -> tuple[str, str] | None:
        """The names of embedding and head if they are one tensor, held as the embedding."""
        embeddings = [name for name in self._file_of if name.endswith(_EMBEDDINGS)]
        stated = self.config.get("tie_word_embeddings")
        if len(embeddings) != 1 or (_HEAD in self._file_of and not stated):
            return None
        return embeddings[0], _HEAD

    def weight_of(self, module: str) -> str:
        """Return the name of a module's weight.

        Checkpoints of a model's body leave out the prefix that adapters have, or the reverse.

        Raises:
            MergeError: if there is none.
        """
        wanted = f"{module}.weight"
        if wanted in self._file_of or (self.tied and wanted == self.tied[1]):
            return wanted
        alike = [
            name
            for name in self._file_of
            if name.endswith("." + wanted) or wanted.endswith("." + name)
        ]
        if len(alike) != 1:
            raise MergeError(
                f"base {self.folder}: has no tensor '{wanted}', which the adapters change"
                f"{did_you_mean(wanted, self._file_of)}; were they made for another base?"
            )
        return alike[0]

    def copy_other_files(self, out: Path, untie: bool) -> None:
        """Copy what is no weight, such as tokenizer and configuration; the configuration last."""
        for path in sorted(self.folder.iterdir()):
            left_out = path.name in (_CONFIG, _INDEX) or path.name.startswith(".")
            if path.is_file() and not left_out and path.suffix not in _WEIGHTS:
                shutil.copyfile(path, out / path.name)
        if not untie:
            shutil.copyfile(self.folder / _CONFIG, out / _CONFIG)
            return
        config = dict(self.config) | {"tie_word_embeddings": False}
        if isinstance(config.get("text_config"), dict):
            config["text_config"] = config["text_config"] | {"tie_word_embeddings": False}
        _write_json(out / _CONFIG, config)

    def write_index(self, out: Path, headers: Mapping[str, Mapping[str, TensorHeader]]) -> None:
        """Write the index of the output's files, if the checkpoint has more than one."""
        if len(headers) == 1 and _SINGLE in headers:
            return
        size = sum(size_of(header) for file in headers.values() for header in file.values())
        where = {tensor: file for file, found in headers.items() for tensor in found}
        _write_json(out / _INDEX, {"metadata": {"total_size": size}, "weight_map": where})

    def _file_names(self) -> list[str]:
        if (self.folder / _INDEX).exists():
            where = self._json(_INDEX).get("weight_map")
            if not isinstance(where, dict) or not where:
                raise MergeError(f"{self.folder / _INDEX}: expected a weight_map, found none")
            return sorted(set(where.values()))
        if (self.folder / _SINGLE).exists():
            return [_SINGLE]
        raise MergeError(
            f"base {self.folder}: expected {_SINGLE} or {_INDEX}, found neither; save the model "
            "with transformers' save_pretrained"
        )

    def _json(self, name: str) -> dict[str, Any]:
        path = self.folder / name
        try:
            value = parse_json(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise MergeError(f"{path}: cannot be read as JSON ({error})") from error
        if not isinstance(value, dict):
            raise MergeError(f"{path}: expected a JSON object")
        return value


def refuse_unwritable(out: Path, size: int) -> None:
    """Check that a checkpoint of `size` bytes can be written to `out`, before any work.

    Raises:
        StorageError: if `out` holds something, or the disk is too full.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise StorageError(f"{out}: already there, left as it is; choose another folder")
    parent = next(path for path in (out, *out.resolve().parents) if path.exists())
    free = shutil.disk_usage(parent).free
    if free < size:
        raise StorageError(
            f"{out}: the checkpoint takes {size / 2**30:.1f} GiB, the disk has "
            f"{free / 2**30:.1f} GiB left; free space or choose another disk"
        )


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    with Replacing(path) as temporary:
        text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
        temporary.write_text(text + "\n", "utf-8")
