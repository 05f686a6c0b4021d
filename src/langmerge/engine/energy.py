"""Energy that devices say they used: GPUs through NVML, processors through Linux's powercap (RAPL).

Counters are of whole devices: other processes on them count too.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

POWERCAP = Path("/sys/class/powercap")

_JOULES_PER_MICROJOULE = 1e-6
_JOULES_PER_MILLIJOULE = 1e-3


@dataclass(frozen=True)
class Counter:
    """A device's energy counter.

    Attributes:
        joules: what it shows.
        wraps_at: where it starts again from 0; None where it does not.
    """

    joules: float
    wraps_at: float | None = None


Counters = dict[str, Counter]


def read_counters(powercap: Path = POWERCAP) -> Counters:
    """Return the counters of all devices that have one this process may read."""
    return {**_processors(powercap), **_gpus()}


def joules_between(before: Counters, after: Counters) -> float | None:
    """Return the energy used between two readings; None where no device tells."""
    shared = before.keys() & after.keys()
    if not shared:
        return None
    return sum(_used(before[name], after[name]) for name in shared)


def _used(before: Counter, after: Counter) -> float:
    difference = after.joules - before.joules
    if difference < 0 and after.wraps_at is not None:
        difference += after.wraps_at
    return max(difference, 0.0)


def _processors(powercap: Path) -> Counters:
    """Return the counters of whole processors: domains such as `intel-rapl:0`, not their parts."""
    found = {}
    for domain in sorted(powercap.glob("*-rapl:[0-9]*")):
        if domain.name.count(":") > 1:
            continue
        try:
            counter, limit = (
                int((domain / name).read_text(encoding="ascii")) * _JOULES_PER_MICROJOULE
                for name in ("energy_uj", "max_energy_range_uj")
            )
        except (OSError, ValueError):  # Only root may read it on most systems.
            continue
        found[domain.name] = Counter(counter, limit)
    return found


def _gpus() -> Counters:
    """Return the counters of the GPUs torch sees; empty without nvidia-ml-py or such GPUs."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return {}
    try:
        import pynvml  # type: ignore[import-not-found]
    except ModuleNotFoundError:
        return {}
    found = {}
    try:
        pynvml.nvmlInit()
        for index in range(torch.cuda.device_count()):
            uuid = f"GPU-{torch.cuda.get_device_properties(index).uuid}"
            found[uuid] = Counter(_millijoules(pynvml, uuid) * _JOULES_PER_MILLIJOULE)
    except pynvml.NVMLError:
        return found
    return found


def _millijoules(nvml: Any, uuid: str) -> int:
    handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
    return int(nvml.nvmlDeviceGetTotalEnergyConsumption(handle))
