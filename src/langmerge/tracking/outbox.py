"""Deliveries to a tracker, in order; what cannot be delivered waits, and stops nothing."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable

_PAUSE_SECONDS = 60.0
_LONGEST_REASON = 300

_CREDENTIALS = re.compile(r"(?<=//)[^/\s]*@")
# A name as text, as JSON or as a header, then a value: in quotes, after a scheme, or one word.
_SECRET = re.compile(
    r"(?i)((?:token|key|secret|passwo?r?d|bearer|authorization)(?:\\?['\"])?[=: ]+)"
    r"(?:(['\"]).*?\2|(?:\\?['\"])?(?:(?:bearer|basic|digest|token)\s+)?\S+)"
)


Warn = Callable[[list[str]], None]
"""Shows warnings, one a line."""


class Outbox:
    """Calls a tracker now, or later if it fails now.

    A failure is told once. After it the tracker is left alone for a minute, because a call to one
    that does not answer takes a while; then everything is tried again in its order, and once more
    at the end.

    Args:
        name: the tracker's, for the warning.
        warn: shows the first failure, in one line without credentials.
        clock: monotonic seconds.
    """

    def __init__(self, name: str, warn: Warn, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._warn = warn
        self._clock = clock
        self._waiting: deque[Callable[[], None]] = deque()
        self._told = False
        self._not_before = 0.0

    def send(self, delivery: Callable[[], None]) -> None:
        """Do this after everything that was sent before it."""
        self._waiting.append(delivery)
        if self._clock() >= self._not_before:
            self._deliver()

    def close(self) -> bool:
        """Try once more what is left; return whether nothing is."""
        self._deliver()
        return not self._waiting

    def _deliver(self) -> None:
        while self._waiting:
            try:
                self._waiting[0]()
            except Exception as error:  # whatever a tracker does, the run goes on
                self._not_before = self._clock() + _PAUSE_SECONDS
                self._tell(error)
                return
            self._waiting.popleft()

    def _tell(self, error: Exception) -> None:
        if not self._told:
            self._told = True
            self._warn(
                [
                    f"{self._name} does not take what it is sent ({reason_of(error)}); the work "
                    "goes on, and this is tried again; what is still missing at the end, "
                    "running the same again records"
                ]
            )


def reason_of(error: Exception) -> str:
    """Return an error as one line that holds no credentials."""
    first = str(error).strip().partition("\n")[0] or type(error).__name__
    first = _SECRET.sub(r"\1***", without_credentials(first))
    return first if len(first) <= _LONGEST_REASON else f"{first[:_LONGEST_REASON]}..."


def without_credentials(text: str) -> str:
    """Return a text in which addresses have no user and no password."""
    return _CREDENTIALS.sub("***@", text)
