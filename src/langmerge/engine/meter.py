"""What work costs this process: time, memory, energy, and what it ran on."""

from __future__ import annotations

import contextlib
import platform
import sys
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from langmerge.engine.energy import joules_between, read_counters

_RECORDED_PACKAGES = ("langmerge", "torch", "transformers", "peft")


class Meter:
    """Measures the attempts of a unit: one after the other, or side by side.

    What it has told of is never told again: the seconds of all readings add up to no more than the
    wall-clock since it was made.
    """

    def __init__(self) -> None:
        self._energy = read_counters()
        self._start = time.monotonic()
        self._billed = 0.0
        self._begin()

    def reading(self, own: Mapping[str, Any]) -> dict[str, Any]:
        """Return what an attempt that ends now has cost.

        Keys: `started` (UTC, ISO 8601), `seconds` (monotonic wall-clock), `peak_memory_bytes`
        (resident set of this process), `peak_gpu_memory_bytes` and `device`, `energy_joules` where
        devices report it (at the mean power since the meter was made), `versions`.

        Args:
            own: the attempt's own part of the bill. With `seconds`, it was side by side with others
                and that is its share; else it had the device to itself since the last reading.
        """
        wall = time.monotonic() - self._start
        unbilled = max(wall - self._billed, 0.0)
        seconds = min(own.get("seconds", unbilled), unbilled)
        self._billed += seconds
        found: dict[str, Any] = {"started": self._started}
        if (joules := joules_between(self._energy, read_counters())) is not None:
            found["energy_joules"] = round(joules * seconds / wall, 1) if wall else 0.0
        found["peak_memory_bytes"] = _peak_memory_bytes()
        found.update(_gpu())
        found["versions"] = {name: version(name) for name in _RECORDED_PACKAGES}
        found["python"] = platform.python_version()
        if "seconds" not in own:
            self._begin()
        return {**found, **own, "seconds": round(seconds, 3)}

    def _begin(self) -> None:
        self._started = datetime.now(timezone.utc).isoformat(timespec="seconds")
        _reset_peaks()


def _reset_peaks() -> None:
    with contextlib.suppress(OSError):  # Linux only; elsewhere the peak is the process's so far.
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    if (torch := sys.modules.get("torch")) is not None and torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def _peak_memory_bytes() -> int:
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _gpu() -> dict[str, Any]:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return {"device": "cpu"}
    return {
        "device": torch.cuda.get_device_name(),
        "peak_gpu_memory_bytes": torch.cuda.max_memory_allocated(),
    }
