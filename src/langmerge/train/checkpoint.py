"""Checkpoints of trainings: written in the background, each whole or not at all.

A group is killed while some of its adapters have written a new checkpoint and others have not. To
go on from one and the same moment, each keeps the one before as well.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from langmerge.canonical import canonical_json
from langmerge.errors import StorageError
from langmerge.files import writing
from langmerge.tensors import bytes_of
from langmerge.train.lesson import Way

CHECKPOINT_NAME = "checkpoint.safetensors"
EARLIER_NAME = "checkpoint-earlier.safetensors"


@dataclass(frozen=True)
class Position:
    """When a checkpoint was taken.

    Attributes:
        way: how the adapters are trained; None while that is being tried out.
        round: counts the steps of the group, or of the one adapter.
    """

    way: Way | None
    round: int


@dataclass(frozen=True)
class Snapshot:
    """A training's state in the memory of the machine.

    Attributes:
        identity: digest of what it must agree on to be continued.
        position: when it was taken.
        progress: how far it is, as JSON values.
        tensors: factors and moments by name.
    """

    identity: str
    position: Position
    progress: Mapping[str, Any]
    tensors: Mapping[str, Tensor]


class Writer:
    """Writes snapshots on a thread of its own, one after the other."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: list[Future[None]] = []

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        self._thread.shutdown(wait=True)
        if kind is None:
            self.wait()

    def write(self, folder: Path, snapshot: Snapshot, *, keep_earlier: bool) -> None:
        """Write a snapshot into a folder soon; an error of it is raised by `wait`."""
        self._pending.append(self._thread.submit(write, folder, snapshot, keep_earlier))

    def wait(self) -> None:
        """Return once everything is written.

        Raises:
            StorageError: if something cannot be.
        """
        pending, self._pending = self._pending, []
        for future in pending:
            future.result()


def write(folder: Path, snapshot: Snapshot, keep_earlier: bool) -> None:
    """Write a snapshot to one file in `folder`, replacing an earlier one atomically.

    Raises:
        StorageError: if the folder cannot be written.
    """
    metadata = {
        "identity": snapshot.identity,
        "position": canonical_json(
            {"way": snapshot.position.way, "round": snapshot.position.round}
        ),
        "progress": canonical_json(snapshot.progress),
    }
    metadata["digest"] = _digest(metadata, snapshot.tensors)
    final = folder / CHECKPOINT_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=".checkpoint-")
        os.close(handle)
        try:
            save_file(dict(snapshot.tensors), temporary, metadata=metadata)
            if keep_earlier:
                with suppress(FileNotFoundError):
                    final.replace(folder / EARLIER_NAME)
            Path(temporary).replace(final)
        finally:
            Path(temporary).unlink(missing_ok=True)
    except (OSError, SafetensorError) as error:
        with writing(folder):  # says the fix, where there is one
            raise StorageError(f"{folder}: a checkpoint cannot be written ({error})") from error


def positions(folder: Path, identity: str | None = None) -> dict[int, tuple[Path, Way | None]]:
    """Return the checkpoints in a folder by round: file and way; of one identity if given."""
    found = {}
    for name in (EARLIER_NAME, CHECKPOINT_NAME):
        try:
            with safe_open(folder / name, framework="pt") as file:
                metadata = file.metadata() or {}
        except (OSError, SafetensorError):
            continue
        if "position" in metadata and identity in (None, metadata.get("identity")):
            position = json.loads(metadata["position"])
            found[position["round"]] = folder / name, position["way"]
    return found


def read(path: Path) -> Snapshot | None:
    """Return the snapshot in a file; None if its bytes are not those that were written."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError):
        return None
    # safetensors checks its header only.
    if metadata.pop("digest", None) != _digest(metadata, tensors):
        return None
    position = Position(**json.loads(metadata["position"]))
    return Snapshot(metadata["identity"], position, json.loads(metadata["progress"]), tensors)


def _digest(metadata: Mapping[str, str], tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(canonical_json(metadata).encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}".encode())
        digest.update(bytes_of(tensors[name]))
    return digest.hexdigest()


def copied(tensor: Tensor) -> Tensor:
    """Return a copy of a tensor in the machine's memory."""
    return tensor.detach().to(torch.device("cpu"), copy=True)
