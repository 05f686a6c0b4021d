"""Which base model a project uses: found and digested without loading it.

A base is written in `langmerge.yaml` as a path, to a folder with a safetensors checkpoint or to a
GGUF file, or as a Hub model with the commit that pins it. What comes out of it are the digests
every adapter's and evaluation's key depends on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal, Protocol

from langmerge.canonical import digest_of, digest_of_file, parse_json
from langmerge.errors import BaseModelError, StorageError
from langmerge.files import write_atomically

BaseKind = Literal["folder", "gguf", "hub"]

_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "chat_template.jinja",
    "chat_template.json",
)
# One of these holds the vocabulary; the others only complete it.
_VOCABULARIES = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
)
_WEIGHTS = "model.safetensors"
_WEIGHTS_INDEX = "model.safetensors.index.json"
_PICKLED_WEIGHTS = ("*.bin", "*.pt", "*.pth")
_DIGEST_CACHE = "file-digests.json"


class HubModel(Protocol):
    """A model on the Hugging Face Hub: its id and the commit (40 hex digits) that pins it."""

    @property
    def model(self) -> str: ...  # noqa: D102

    @property
    def revision(self) -> str: ...  # noqa: D102


BaseSpec = str | HubModel
"""A base as the project file names it: a path, or a Hub model."""


@dataclass(frozen=True, slots=True)
class ResolvedBase:
    """A base model that is known to be there, and what identifies it.

    Attributes:
        kind: what `location` is.
        location: a folder, a GGUF file, or a Hub id.
        weights_digest: of the weights and the model's configuration.
        tokenizer_digest: of the tokenizer and its chat template.
        revision: the commit of a Hub model; None otherwise.
        checkpoint: where a GGUF file's conversion is kept once it was made; None otherwise.
    """

    kind: BaseKind
    location: str | Path
    weights_digest: str
    tokenizer_digest: str
    revision: str | None = None
    checkpoint: Path | None = None

    def identity(self) -> dict[str, Any]:
        """Return what results that were made with this base depend on."""
        return {"weights": self.weights_digest, "tokenizer": self.tokenizer_digest}

    @property
    def name(self) -> str:
        """The base as messages and adapter files name it."""
        return str(self.location) if self.revision is None else f"{self.location}@{self.revision}"


def resolve_base(spec: BaseSpec, project_dir: Path, cache_dir: Path) -> ResolvedBase:
    """Find a base model and digest it; neither network nor torch is needed.

    Args:
        spec: the base as the project file names it; a relative path starts at `project_dir`.
        project_dir: the folder of the project file.
        cache_dir: where digests of files and converted GGUF files are kept.

    Raises:
        BaseModelError: if nothing is there, or it is not a checkpoint langmerge can use.
    """
    if not isinstance(spec, str):
        digest = f"hub:{spec.model}@{spec.revision}"
        return ResolvedBase("hub", spec.model, digest, digest, revision=spec.revision)
    path = Path(os.path.abspath(project_dir / Path(spec).expanduser()))  # noqa: PTH100 - links stay
    digests = _FileDigests(cache_dir / _DIGEST_CACHE)
    if path.is_dir():
        return _resolve_folder(path, digests)
    if path.is_file():
        return _resolve_gguf(path, digests, cache_dir)
    raise BaseModelError(
        f"base '{spec}': nothing at {path}; give a folder with a safetensors checkpoint, a GGUF "
        f"file, or a Hub model as {{model: ID, revision: COMMIT}}"
    )


def weights_bytes(base: ResolvedBase, dtype_bytes: int) -> int:
    """Return what a base's weights take once they are loaded; 0 for a model of the Hub.

    Only headers are read. A file beside the weights that transformers does not load is not counted.

    Args:
        base: the base.
        dtype_bytes: of an element of the dtype it is loaded in, whatever that of its files.

    Raises:
        BaseModelError: if a header cannot be read.
    """
    if base.kind == "hub":
        return 0
    folder = Path(base.location) if base.checkpoint is None else base.checkpoint
    if folder.is_dir():
        try:
            return dtype_bytes * sum(_elements(file) for file in _loaded_files(folder))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BaseModelError(
                f"base {base.name}: cannot be read as safetensors ({error}); save it again"
            ) from error
    from langmerge.gguf_conversion import elements_of

    return dtype_bytes * elements_of(Path(base.location))


def _loaded_files(folder: Path) -> list[Path]:
    """Return the files of a folder's checkpoint that transformers loads."""
    if (folder / _WEIGHTS).is_file():
        return [folder / _WEIGHTS]
    if not (folder / _WEIGHTS_INDEX).is_file():
        return sorted(folder.glob("*.safetensors"))
    index = parse_json((folder / _WEIGHTS_INDEX).read_bytes())
    return [folder / name for name in sorted(set(index["weight_map"].values()))]


def _elements(file: Path) -> int:
    """Return how many numbers a safetensors file holds, by its header."""
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        if length > file.stat().st_size:
            raise ValueError(f"{file.name}: ends within its header")
        header = parse_json(opened.read(length))
    return sum(prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")


def _resolve_folder(folder: Path, digests: _FileDigests) -> ResolvedBase:
    _refuse_unusable(folder)
    weights = sorted(folder.glob("*.safetensors"))
    tokenizer = [folder / name for name in _TOKENIZER_FILES if (folder / name).is_file()]
    tokenizer += sorted((folder / "additional_chat_templates").glob("*.jinja"))
    return ResolvedBase(
        kind="folder",
        location=folder,
        weights_digest=digests.of_files([folder / "config.json", *weights]),
        tokenizer_digest=digests.of_files(tokenizer),
    )


def _refuse_unusable(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        if (folder / "adapter_config.json").is_file():
            raise BaseModelError(
                f"base {folder}: this is a PEFT adapter (adapter_config.json); give the model it "
                f"was trained on"
            )
        raise BaseModelError(f"base {folder}: no config.json; expected a transformers checkpoint")
    if not any(folder.glob("*.safetensors")):
        pickled = [path.name for pattern in _PICKLED_WEIGHTS for path in folder.glob(pattern)]
        found = f"found {pickled[0]}, which can run code when read" if pickled else "found none"
        raise BaseModelError(
            f"base {folder}: expected weights as *.safetensors, {found}; save the model again "
            f"with transformers' save_pretrained"
        )
    if not any((folder / name).is_file() for name in _VOCABULARIES):
        raise BaseModelError(
            f"base {folder}: no tokenizer; expected one of {', '.join(_VOCABULARIES)} beside the "
            f"weights (transformers' save_pretrained writes it)"
        )


def _resolve_gguf(file: Path, digests: _FileDigests, cache_dir: Path) -> ResolvedBase:
    with file.open("rb") as opened:
        if opened.read(4) != b"GGUF":
            raise BaseModelError(
                f"base {file}: not a GGUF file; give a GGUF file or a folder with a safetensors "
                f"checkpoint"
            )
    digest = digests.of_file(file)
    return ResolvedBase(
        kind="gguf",
        location=file,
        weights_digest=digest,
        tokenizer_digest=digest,
        checkpoint=cache_dir / "bases" / digest[:16],
    )


class _FileDigests:
    """Digests of files, remembered by path, size and modification time.

    A base of many gigabytes is read once, not at every `langmerge plan`.
    """

    def __init__(self, cache_file: Path) -> None:
        self._cache_file = cache_file
        self._known = self._read()

    def of_file(self, path: Path) -> str:
        """Return the SHA-256 of a file's bytes."""
        status = path.stat()
        stamp = [status.st_size, status.st_mtime_ns]
        known = self._known.get(str(path))
        if known is None or known["stamp"] != stamp:
            known = {"stamp": stamp, "sha256": digest_of_file(path)}
            self._known[str(path)] = known
            self._write()
        return str(known["sha256"])

    def of_files(self, paths: Iterable[Path]) -> str:
        """Return one digest of several files' names and bytes, whatever their order."""
        return digest_of({path.name: self.of_file(path) for path in paths})

    def _read(self) -> dict[str, Any]:
        try:
            known = parse_json(self._cache_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}

    def _write(self) -> None:
        # A cache that cannot be written costs time, nothing else.
        with suppress(StorageError, OSError):
            write_atomically(self._cache_file, json.dumps(self._known))
