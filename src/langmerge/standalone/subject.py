"""The model that is evaluated: found and digested without loading it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langmerge.base import ResolvedBase, resolve_base
from langmerge.cache import cache_folder
from langmerge.errors import BaseModelError
from langmerge.project import HubBase

_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_ADAPTER_CONFIG = "adapter_config.json"


@dataclass(frozen=True)
class Subject:
    """A model that is known to be there.

    Attributes:
        name: what tables call it.
        base: the model, or what the adapter stands on.
        adapter: the folder of a PEFT adapter; None for a model without one.
        adapter_digest: of what the adapter does; None without one.
    """

    name: str
    base: ResolvedBase
    adapter: Path | None = None
    adapter_digest: str | None = None

    def identity(self) -> dict[str, Any]:
        """Return what the model's answers depend on."""
        return {"base": self.base.identity(), "adapter": self.adapter_digest}


def find(model: str, base: str | None = None) -> Subject:
    """Find a model by a path or a Hub name.

    Args:
        model: the folder of a checkpoint or of a PEFT adapter, a GGUF file, or `ID@COMMIT` of a
            model on the Hub.
        base: the base of an adapter, named in the same way; its configuration says by default.

    Raises:
        BaseModelError: if a model is not there, or a Hub model is not pinned.
        AdapterError: if the adapter is not a LoRA adapter in safetensors form.
    """
    folder = Path(model).expanduser()
    if (folder / _ADAPTER_CONFIG).is_file():
        return with_adapter(folder.name, folder, lambda stated: _base_of(folder, stated, base))
    if base is not None:
        raise BaseModelError(
            f"--base {base}: {model} is no adapter's folder (no {_ADAPTER_CONFIG}), so it needs "
            "no base; leave it out"
        )
    found = _resolve(model)
    return Subject(folder.name if folder.exists() else model, found)


def with_adapter(
    name: str, folder: Path, base_for: Callable[[tuple[str | None, str | None]], ResolvedBase]
) -> Subject:
    """Return the subject of an adapter's folder.

    Args:
        name: what tables call it.
        folder: the adapter's.
        base_for: from the base's name and revision in the adapter's configuration to the base.

    Raises:
        AdapterError: if it is not a LoRA adapter in safetensors form.
    """
    from langmerge.adapter import Adapter

    adapter = Adapter.load(folder)
    return Subject(name, base_for((adapter.base_model, adapter.revision)), folder, adapter.digest)


def _base_of(
    adapter: Path, stated: tuple[str | None, str | None], given: str | None
) -> ResolvedBase:
    if given is not None:
        return _resolve(given)
    name, revision = stated
    fix = "name its base by --base FOLDER, or --base ID@COMMIT for a model of the Hub"
    if name is None:
        raise BaseModelError(f"{adapter / _ADAPTER_CONFIG}: names no base; {fix}")
    if Path(name).exists():
        return _resolve(name)
    if not _HUB_NAME.fullmatch(name):
        raise BaseModelError(f"{adapter / _ADAPTER_CONFIG}: the base {name} is not there; {fix}")
    commit = revision if revision and _COMMIT.fullmatch(revision) else _cached_commit(name)
    if commit is None:
        raise BaseModelError(
            f"{adapter / _ADAPTER_CONFIG}: the base {name} is neither a folder here nor in the "
            f"Hub's cache, and no commit pins it; {fix}"
        )
    return _resolve(f"{name}@{commit}")


def _cached_commit(name: str) -> str | None:
    """Return the commit of a Hub model's main branch in the Hub's local cache."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(name, "config.json")
    except HFValidationError:
        return None
    # .../models--NAME/snapshots/COMMIT/config.json
    return Path(found).parent.name if isinstance(found, str) else None


def _resolve(model: str) -> ResolvedBase:
    name, at, revision = model.rpartition("@")
    path = Path(model).expanduser()
    if path.exists() or not at:
        if not path.exists() and _HUB_NAME.fullmatch(model):
            raise BaseModelError(
                f"{model}: no folder or file of this name; a model of the Hub needs the commit "
                f"that pins it: {model}@ and 40 hex digits, as its page on the Hub shows them"
            )
        return resolve_base(str(path), Path(), cache_folder())
    if not _HUB_NAME.fullmatch(name) or not _COMMIT.fullmatch(revision):
        raise BaseModelError(
            f"{model}: expected a folder, a GGUF file, or ID@COMMIT with the 40 hex digits of a "
            f"commit; found '{revision}' after the @"
        )
    return resolve_base(HubBase(model=name, revision=revision), Path(), cache_folder())
