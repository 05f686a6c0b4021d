import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from langmerge.engine.energy import Counter, joules_between, read_counters


def domain(powercap: Path, name: str, energy: int, limit: int = 1_000_000_000) -> None:
    folder = powercap / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "energy_uj").write_text(f"{energy}\n")
    (folder / "max_energy_range_uj").write_text(f"{limit}\n")


def test_packages_add_up_and_their_parts_do_not_count_twice(tmp_path: Path) -> None:
    for name, energy in (("intel-rapl:0", 5), ("intel-rapl:1", 7), ("intel-rapl:0:0", 3)):
        domain(tmp_path, name, energy * 1_000_000)
    before = read_counters(tmp_path)
    domain(tmp_path, "intel-rapl:0", 15_000_000)
    domain(tmp_path, "intel-rapl:0:0", 9_000_000)

    assert set(before) == {"intel-rapl:0", "intel-rapl:1"}
    assert joules_between(before, read_counters(tmp_path)) == pytest.approx(10)


def test_a_counter_that_wrapped(tmp_path: Path) -> None:
    domain(tmp_path, "intel-rapl:0", 990_000_000)
    before = read_counters(tmp_path)
    domain(tmp_path, "intel-rapl:0", 10_000_000)

    assert joules_between(before, read_counters(tmp_path)) == pytest.approx(20)


def test_no_counter_is_not_no_energy(tmp_path: Path) -> None:
    (tmp_path / "intel-rapl:0").mkdir()

    assert read_counters(tmp_path) == {}
    assert joules_between({}, {"gpu": Counter(3)}) is None


def test_gpus_by_nvml(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shown = {"GPU-a": 4_000, "GPU-b": 6_000}

    def properties(index: int) -> SimpleNamespace:
        return SimpleNamespace(uuid="ab"[index])

    cuda = SimpleNamespace(
        is_available=lambda: True, device_count=lambda: 2, get_device_properties=properties
    )
    nvml = SimpleNamespace(
        NVMLError=RuntimeError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda uuid: uuid,
        nvmlDeviceGetTotalEnergyConsumption=shown.__getitem__,
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    before = read_counters(tmp_path)
    shown["GPU-b"] = 7_500

    assert joules_between(before, read_counters(tmp_path)) == pytest.approx(1.5)
