"""Who is at work on a shared store: a lease, which a dead holder cannot keep.

The lease is a file that its holder creates, rewrites every few seconds, and removes. Who finds one
watches it by a clock of its own, so machines need not agree on the time: a lease that did not
change for a while has no holder any more, and is taken over. Of several waiters one does that:
looking and writing are two steps, so they are taken under a second lease, `NAME.takeover`.

A lease saves work done twice; that nothing is overwritten does not hang on it, but on conditional
writes. So a holder that was only stopped for long, and goes on beside its successor, does no harm.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from langmerge.canonical import parse_json
from langmerge.errors import StorageError
from langmerge.remote import Remote

Holder = dict[str, Any]

BEAT_SECONDS = 10.0
STALE_SECONDS = 60.0
_WAIT_SECONDS = 1.0


@contextlib.contextmanager
def leased(
    remote: Remote, name: str, on_wait: Callable[[str], None] | None = None
) -> Iterator[None]:
    """Hold a lease for the block.

    Args:
        remote: where the store is.
        name: the lease's file.
        on_wait: is told who holds it, and then this waits; None does not wait.

    Raises:
        StorageError: naming the holder, if this does not wait.
    """
    holder: Holder = {
        "host": socket.gethostname(),
        "machine": _machine(),
        "process": os.getpid(),
        "since": datetime.now(timezone.utc).isoformat(sep=" ", timespec="seconds"),
        "token": uuid.uuid4().hex,
    }
    _take(remote, name, holder, on_wait)
    ended = threading.Event()
    beating = threading.Thread(target=_beat, args=(remote, name, holder, ended), daemon=True)
    beating.start()
    try:
        yield
    finally:
        ended.set()
        beating.join()
        _give_back(remote, name, holder)


def _take(remote: Remote, name: str, holder: Holder, on_wait: Callable[[str], None] | None) -> None:
    seen, since, told = b"", time.monotonic(), None
    while not remote.create(name, _content(holder)):
        now = remote.read(name)
        if now is None:
            continue  # given back meanwhile
        if now != seen:
            seen, since = now, time.monotonic()
        if _is_dead(now) or time.monotonic() - since > STALE_SECONDS:
            if _take_over(remote, name, now, holder):
                return
            continue
        if on_wait is None:
            raise StorageError(
                f"{remote.url}: {_named(now)} is at work on this store; wait for it to end, or "
                f"stop it (if it is gone, start without --no-wait: after {STALE_SECONDS:.0f} s "
                "without a sign of it, its place is taken)"
            )
        if _named(now) != told:
            on_wait(told := _named(now))
        time.sleep(_WAIT_SECONDS)


def _take_over(remote: Remote, name: str, stale: bytes, holder: Holder) -> bool:
    """Put a lease of one's own in the place of a stale one; return whether it was still there.

    A waiter that died while it did this left a stale second lease, which is taken over like any.
    """
    guard = f"{name}.takeover"
    _take(remote, guard, holder, on_wait=lambda _: None)
    try:
        if remote.read(name) != stale:  # a successor was quicker
            return False
        remote.write(name, _content(holder))
        return True
    finally:
        _give_back(remote, guard, holder)


def _give_back(remote: Remote, name: str, holder: Holder) -> None:
    with contextlib.suppress(StorageError):  # not reachable: it turns stale
        if _token(remote.read(name)) == holder["token"]:
            remote.remove(name)


def _content(holder: Holder, beat: int = 0) -> bytes:
    return json.dumps({**holder, "beat": beat}).encode()


def _beat(remote: Remote, name: str, holder: Holder, ended: threading.Event) -> None:
    beat = 0
    while not ended.wait(BEAT_SECONDS):
        beat += 1
        with contextlib.suppress(StorageError):  # the next beat may come through
            now = remote.read(name)
            if now is None:
                remote.create(name, _content(holder, beat))
            elif _token(now) == holder["token"]:
                remote.write(name, _content(holder, beat))


def _is_dead(content: bytes) -> bool:
    """Return whether the holder was a process that this one could see, and is gone."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        holder = parse_json(content)
        if holder["machine"] is not None and holder["machine"] == _machine():
            return not _is_alive(int(holder["process"]))
    return False


def _is_alive(process: int) -> bool:
    """Return whether a process of this machine is there.

    Another user's is too, though its folder in `/proc` may be hidden (`hidepid=2`).
    """
    if process <= 0:  # would be a group of processes
        raise ValueError("not a process")
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


def _machine() -> str | None:
    """Return what processes that see each other have in common; None if that is not known.

    A host's name would not do: containers may share it, and have processes of their own.
    """
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    return None


def _token(content: bytes | None) -> str | None:
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return str(parse_json(content or b"")["token"])
    return None


def _named(content: bytes) -> str:
    try:
        holder = parse_json(content)
        return f"process {holder['process']} on {holder['host']} (since {holder['since']})"
    except (ValueError, KeyError, TypeError):
        return "another process"
