"""A GGUF file to a safetensors checkpoint, once.

transformers reads GGUF files, but parses their metadata anew for the configuration, the
tokenizer and the weights, element by element: for a vocabulary of 262,144 tokens that is most of
a minute. Here the metadata is parsed once and in bulk.
"""

from __future__ import annotations

import functools
import shutil
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, modeling_gguf_pytorch_utils

from langmerge.errors import BaseModelError, MissingExtraError, StorageError
from langmerge.quiet import quiet_transformers


def convert_gguf(file: Path, target: Path) -> Path:
    """Write a GGUF file's model, dequantized to fp32, and its tokenizer to the folder `target`.

    Nothing is done where `target` exists; it appears only when it is complete.

    Returns:
        `target`.

    Raises:
        MissingExtraError: if the package `gguf` is not installed.
        BaseModelError: if transformers cannot read the file.
        StorageError: if the checkpoint cannot be written.
    """
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
    try:
        _convert(file, partial)
        if not target.is_dir():  # another process may have been faster
            partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def elements_of(file: Path) -> int:
    """Return how many numbers the tensors of a GGUF file have, quantized or not.

    Raises:
        MissingExtraError: if the package `gguf` is not installed.
    """
    with _metadata_parsed_once():
        import gguf

        return sum(int(tensor.n_elements) for tensor in gguf.GGUFReader(file).tensors)


def _convert(file: Path, folder: Path) -> None:
    source = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    with quiet_transformers(), _metadata_parsed_once():
        try:
            tokenizer = AutoTokenizer.from_pretrained(**source)
            model = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
        except (OSError, ValueError, KeyError, NotImplementedError) as error:
            raise BaseModelError(
                f"base {file}: transformers cannot read this GGUF file ({error}); give a folder "
                f"with a safetensors checkpoint"
            ) from error
        _forget_quantization(model)
        try:
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
        except (OSError, SafetensorError) as error:
            raise StorageError(
                f"{folder.parent}: the converted model cannot be written ({error}); make room, or "
                f"name another cache folder in LANGMERGE_CACHE"
            ) from error


def _forget_quantization(model: Any) -> None:
    """Let `save_pretrained` treat the dequantized weights as the plain ones they are."""
    model.config.__dict__.pop("quantization_config", None)
    model.hf_quantizer = None
    model.is_quantized = False


@contextmanager
def _metadata_parsed_once() -> Iterator[None]:
    try:
        import gguf
    except ImportError:
        raise MissingExtraError("gguf", "gguf", "reading a GGUF file") from None

    class BulkReader(gguf.GGUFReader):  # type: ignore[misc]
        """Reads a metadata array as a whole; the original builds an array per element."""

        def _get_field_parts(
            self, orig_offs: int, raw_type: int
        ) -> tuple[int, list[Any], list[int], list[Any]]:
            if raw_type != gguf.GGUFValueType.ARRAY:
                parts: tuple[int, list[Any], list[int], list[Any]]
                parts = super()._get_field_parts(orig_offs, raw_type)
                return parts
            blob = memoryview(self.data)
            raw_item, count = struct.unpack_from("<IQ", blob, orig_offs)
            item = gguf.GGUFValueType(raw_item)
            start = orig_offs + struct.calcsize("<IQ")
            if item == gguf.GGUFValueType.STRING:
                values, size = _strings(blob, start, count)
            else:
                dtype = np.dtype(self.gguf_scalar_to_np[item])
                values = list(np.frombuffer(blob, dtype, count, start).reshape(-1, 1))
                size = count * dtype.itemsize
            types = [gguf.GGUFValueType.ARRAY, item]
            return start + size - orig_offs, values, list(range(count)), types

    with (
        mock.patch.object(gguf, "GGUFReader", functools.cache(BulkReader)),
        mock.patch.object(modeling_gguf_pytorch_utils, "tqdm", lambda tensors, **_: tensors),
    ):
        yield


def _strings(blob: memoryview, start: int, count: int) -> tuple[list[Any], int]:
    """Return `count` length-prefixed strings, as bytes, and the bytes they take."""
    values, position = [], start
    for _ in range(count):
        (length,) = struct.unpack_from("<Q", blob, position)
        position += 8
        values.append(bytes(blob[position : position + length]))
        position += length
    return values, position - start
