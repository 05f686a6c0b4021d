"""The user's cache folder: base models converted once, digests of large files."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return `$LANGMERGE_CACHE`, or `langmerge` in `$XDG_CACHE_HOME` or `~/.cache`."""
    if chosen := os.environ.get("LANGMERGE_CACHE"):
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "langmerge"
