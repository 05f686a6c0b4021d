"""Named tensors, in memory or in a safetensors file, read and written one at a time."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from langmerge.canonical import parse_json
from langmerge.errors import AdapterError

FLOAT_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
}
DTYPES = FLOAT_DTYPES | {
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_CODES = {dtype: code for code, dtype in DTYPES.items()}
_ALIGNMENT = 8


class TensorHeader(NamedTuple):
    """What a file's header says of one tensor: safetensors' name of its dtype, and its shape."""

    dtype: str
    shape: tuple[int, ...]


def header_of(tensor: Tensor) -> TensorHeader:
    """Return the header under which a tensor is written."""
    return TensorHeader(_CODES.get(tensor.dtype, str(tensor.dtype)), tuple(tensor.shape))


class MemoryTensors:
    """Tensors held in memory."""

    name = "<memory>"

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        """Hold `tensors`, which are not copied."""
        self._tensors = dict(tensors)
        self.headers = {name: header_of(tensor) for name, tensor in self._tensors.items()}

    def read(self, name: str) -> Tensor:
        """Return one tensor."""
        return self._tensors[name]


class FileTensors:
    """Tensors of a safetensors file, read when asked for.

    They are read, not mapped: pages of a mapped file stay in memory after their tensor is gone, so
    that streaming a checkpoint would take as much as the checkpoint. A file that changed after it
    was opened is refused: what was read of it before and what would be read now need not belong
    together.
    """

    def __init__(self, path: Path) -> None:
        """Open a file and read its header.

        Raises:
            AdapterError: if it is no safetensors file.
        """
        self.name = str(path)
        self._path = path
        try:
            self._opened = self._stamp()
            file = cast("Any", safe_open(path, framework="pt"))  # ships no types
            slices: dict[str, Any] = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            self._starts = _starts(path)
        except (OSError, SafetensorError) as error:
            raise AdapterError(
                f"{path}: cannot be read as safetensors ({error}); save it again"
            ) from error
        self.headers = {
            name: TensorHeader(str(piece.get_dtype()), tuple(piece.get_shape()))
            for name, piece in slices.items()
        }

    def _stamp(self) -> tuple[int, int]:
        stat = self._path.stat()
        return stat.st_size, stat.st_mtime_ns

    def read(self, name: str) -> Tensor:
        """Read one tensor.

        Raises:
            AdapterError: if the file is gone or changed.
        """
        if not self._path.exists() or self._stamp() != self._opened:
            raise AdapterError(f"{self.name}: changed since it was loaded; load it again")
        header = self.headers[name]
        content = torch.empty(size_of(header), dtype=torch.uint8)
        with self._path.open("rb", buffering=0) as file:
            file.seek(self._starts[name])
            view = content.numpy().data
            while view and (count := file.readinto(view)):  # the system reads 2 GiB at most
                view = view[count:]
        if view:
            raise AdapterError(f"{self.name}: changed since it was loaded; load it again")
        return content.view(DTYPES[header.dtype]).reshape(header.shape)


def _starts(path: Path) -> dict[str, int]:
    """Return where each tensor's bytes begin in a file whose header safetensors has checked."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        layout = parse_json(file.read(length))
    return {
        name: 8 + length + entry["data_offsets"][0]
        for name, entry in layout.items()
        if name != "__metadata__"
    }


def size_of(header: TensorHeader) -> int:
    """Return how many bytes a tensor takes."""
    return DTYPES[header.dtype].itemsize * torch.Size(header.shape).numel()


def written_order(headers: Mapping[str, TensorHeader]) -> list[str]:
    """Return the names in the order in which `write_tensors` asks for the tensors.

    Wide dtypes first keeps every tensor aligned to its own size.
    """
    return sorted(headers, key=lambda name: (-DTYPES[headers[name].dtype].itemsize, name))


def write_tensors(
    path: Path, headers: Mapping[str, TensorHeader], read: Callable[[str], Tensor]
) -> None:
    """Write a safetensors file, holding one tensor at a time; equal tensors give equal bytes.

    The format: the header's length (64 bits, little endian), the header as JSON, the tensors'
    bytes one after the other (github.com/huggingface/safetensors, "Format"). The library's own
    writer wants all tensors at once and refuses tensors that share memory.

    Args:
        path: the file; replaced at the end, so that it is complete or absent.
        headers: dtype and shape of each tensor.
        read: returns a tensor by name; it must be as its header says.

    Raises:
        OSError: if it cannot be written.
    """
    order = written_order(headers)
    layout: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name in order:
        dtype, shape = headers[name]
        start, end = end, end + size_of(headers[name])
        layout[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(layout, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    with Replacing(path) as temporary, temporary.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in order:
            tensor = read(name)
            if header_of(tensor) != headers[name]:
                raise ValueError(f"{name}: is {header_of(tensor)}, announced as {headers[name]}")
            file.write(bytes_of(tensor))


def bytes_of(tensor: Tensor) -> memoryview:
    """Return a tensor's bytes in row-major order, without copying where they lie so."""
    flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return flat.numpy().data


class Replacing:
    """A temporary file that takes `path`'s place if the block succeeds, and is removed if not."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")

    def __enter__(self) -> Path:
        return self._temporary

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._temporary.replace(self._path)
        else:
            self._temporary.unlink(missing_ok=True)


@contextmanager
def one_thread_per_operation() -> Iterator[None]:
    """Let torch compute each operation on one thread inside the block.

    For work that is parallel at a higher level, or bound by memory or disk: threads that wait for
    each other after every small operation cost far more than they gain where cores are shared.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
