"""One process at a time at work on a project's store."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import TextIO

from langmerge.errors import StorageError
from langmerge.files import writing

_WAIT_SECONDS = 0.2


@contextlib.contextmanager
def held(
    store: Path, *, on_wait: Callable[[str], None] | None = None, lock: str = "run"
) -> Iterator[None]:
    """Hold a lock of a project's store for this process; the store is created if need be.

    The system drops the lock with its process, however that ends: none is ever stale.

    Args:
        store: the store's folder.
        on_wait: is told who holds the lock, and then this waits; None does not wait.
        lock: `run` for what makes and removes results, `release` for what serves them.

    Raises:
        StorageError: naming the process that holds it, if this does not wait.
    """
    import fcntl

    with writing(store):
        store.mkdir(parents=True, exist_ok=True)
        file = (store / f"{lock}.lock").open("a+", encoding="utf-8")
    with file:
        told = None
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                holder = _holder(file)
            if on_wait is None:
                raise StorageError(
                    f"{store.parent}: {holder} is at work on this project; "
                    "wait for it to end, or stop it"
                )
            if holder != told:
                on_wait(told := holder)
            time.sleep(_WAIT_SECONDS)
        now = datetime.now(timezone.utc).isoformat(sep=" ", timespec="seconds")
        with contextlib.suppress(OSError):  # a full disk; the lock holds, without a name
            file.truncate(0)
            file.write(f"process {os.getpid()} (since {now})")
            file.flush()
        yield


def _holder(file: TextIO) -> str:
    file.seek(0)
    return file.read().strip() or "another process"
