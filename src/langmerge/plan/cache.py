"""What planning reads of a store and of data files, kept in one file so that plans are quick.

A plan of ten thousand adapters would open as many results and hash as many data files, each time
the same. `STORE/plan-cache.json` keeps of every result what a plan needs, and of every data file
its digest with what the file looked like then (size, times, inode). It is only a cache: results
count only while they and their objects are in the store, files only while they look the same, and
without it a plan is right and slow. A run trusts none of it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from langmerge.canonical import digest_of, digest_of_file, parse_json
from langmerge.errors import StorageError
from langmerge.files import write_atomically
from langmerge.seals import look_of_file
from langmerge.store import Action, Store

_FILE = "plan-cache.json"
_VERSION = 1


class PlanCache:
    """The results and the data files of a project, as quickly as a plan wants them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._is_new = False

    def find(self, document: Mapping[str, Any]) -> Action | None:
        """Return the result of a job's document, without what it cost.

        Its object is in the store; whether its bytes are whole, the run that uses it finds out.
        """
        key = digest_of(document)
        if key not in self._actions:
            return None
        if (known := self._results.get(key)) is None:
            action = self._store.recorded(key)
            if action is None:
                return None
            known = self._results[key] = [action.output, dict(action.facts)]
            self._is_new = True
        output, facts = known
        return Action(key, document, output, facts) if output in self._objects else None

    def digest_of_file(self, path: Path) -> str:
        """Return the SHA-256 of a file's bytes, from the cache while the file looks the same."""
        name, now = str(path), look_of_file(path.stat())
        known = self._files.get(name)
        if known is None or known[0] != now:
            known = self._files[name] = [now, digest_of_file(path)]
            self._is_new = True
        digest: str = known[1]
        return digest

    def save(self) -> None:
        """Write what is new, if the store can be written."""
        if not self._is_new or not self._store.root.is_dir():
            return
        results = {key: known for key, known in self._results.items() if key in self._actions}
        content = {"version": _VERSION, "results": results, "files": self._files}
        with contextlib.suppress(StorageError):
            write_atomically(self._store.root / _FILE, json.dumps(content, ensure_ascii=False))
        self._is_new = False

    @cached_property
    def _content(self) -> dict[str, Any]:
        try:
            content = parse_json((self._store.root / _FILE).read_text(encoding="utf-8"))
            if content["version"] == _VERSION:
                return {"results": dict(content["results"]), "files": dict(content["files"])}
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return {"results": {}, "files": {}}

    @cached_property
    def _results(self) -> dict[str, list[Any]]:
        """Output and facts, by key."""
        results: dict[str, list[Any]] = self._content["results"]
        return results

    @cached_property
    def _files(self) -> dict[str, list[Any]]:
        """Look and digest, by path."""
        files: dict[str, list[Any]] = self._content["files"]
        return files

    @cached_property
    def _actions(self) -> set[str]:
        return self._store.keys()

    @cached_property
    def _objects(self) -> set[str]:
        return self._store.digests()
