"""What a job cost: wall-clock, peak memory, and what it ran on."""

from __future__ import annotations

import contextlib
import platform
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

_RECORDED_PACKAGES = ("langmerge", "torch", "transformers", "peft")


@contextlib.contextmanager
def measured() -> Iterator[dict[str, Any]]:
    """Fill the yielded dict, when the block ends, with its cost.

    Keys: `started` (UTC, ISO 8601), `seconds` (monotonic wall-clock), `peak_memory_bytes` (resident
    set of this process), `peak_gpu_memory_bytes` and `device`, `versions`.
    """
    ledger: dict[str, Any] = {"started": datetime.now(timezone.utc).isoformat(timespec="seconds")}
    _reset_peaks()
    start = time.monotonic()
    try:
        yield ledger
    finally:
        ledger["seconds"] = round(time.monotonic() - start, 3)
        ledger["peak_memory_bytes"] = _peak_memory_bytes()
        ledger.update(_gpu())
        ledger["versions"] = {name: version(name) for name in _RECORDED_PACKAGES}
        ledger["python"] = platform.python_version()


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
