"""Compiled kernels and torch give the same bits, so what is installed changes no result."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from langmerge.merging import kernels, merge
from langmerge.merging.composition import merge_entries
from langmerge.merging.schema import method_info
from langmerge.merging.select import kth_largest_magnitude
from langmerge.merging.vectors import TaskVector

from .toys import toy

pytest.importorskip("numba")

# More than one tile each way, and remainders that fill no vector register.
SHAPES = {"large": (300, 701), "small": (7, 5)}
MERGES = [
    ("ties", {"density": 1.0}),
    ("ties", {"density": 0.5, "lambda_": 0.7}),
    ("ties", {"density": 0.1, "normalize": False}),
    ("ties", {"density": 0.5, "rescale": "l1", "zero_sign": "majority"}),
    ("ties", {"density": 0.3, "trim": "model", "rescale": "density"}),
    ("ties", {"density": 0.5, "space": "core"}),
    ("dare_ties", {"density": 0.4, "seed": 3}),
    ("dare_ties", {"density": 0.9, "rescale": "l1", "normalize": False}),
    ("dare_linear", {"density": 0.5}),
    ("knots_ties", {"density": 0.5}),
    ("knots_dare", {"density": 0.5}),
    ("magnitude_prune", {"density": 0.5}),
]


@pytest.fixture(scope="module", autouse=True)
def compiled():
    assert kernels.load()
    return kernels.STATE.compiled


@pytest.fixture(scope="module")
def adapters():
    return [toy(i, rank=i + 1, shapes=SHAPES, scale=0.5 + i) for i in range(3)]


def without_kernels(monkeypatch, run):
    with monkeypatch.context() as patch:
        patch.setattr(kernels.STATE, "compiled", None)
        return run()


@pytest.mark.parametrize(("method", "options"), MERGES)
@pytest.mark.parametrize("weights", [None, [1.0, 0.3, 2.7]])
def test_the_same_bits_as_torch(adapters, method, options, weights, monkeypatch):
    def run():
        return merge(adapters, method, weights=weights, **options)

    expected = without_kernels(monkeypatch, run)
    assert run().digest == expected.digest


@pytest.mark.parametrize("name", ["add_by_sign", "elected", "above_and_inside", "drop_random"])
def test_each_kernel_is_used(adapters, name, compiled, monkeypatch):
    """Otherwise the comparisons above would compare torch with itself."""
    calls = []
    kernel = getattr(compiled, name)
    monkeypatch.setattr(compiled, name, lambda *a: calls.append(name) or kernel(*a))
    merge(adapters, "dare_ties" if name == "drop_random" else "ties", density=0.5)
    assert calls


def test_sums_of_zero_and_negative_zeros(monkeypatch):
    """Two task vectors that cancel in some entries and have zeros of both signs in others."""
    a = torch.tensor([[1.0, -1.0, 0.0, -0.0, 3.0] * 7])
    one = TaskVector(torch.tensor([[1.0], [0.0], [-2.0]]), a, weight=0.7)
    two = replace(one, b=-one.b)
    for zero_sign in ("positive", "majority"):
        method = method_info("ties").build(zero_sign=zero_sign)

        def run(method=method):
            return merge_entries([one, two], method, 1.4).numpy().tobytes()

        assert run() == without_kernels(monkeypatch, run)


@pytest.mark.parametrize("share", [1e-5, 0.02, 0.5, 0.97, 1.0])
def test_the_same_threshold(share, monkeypatch):
    draw = torch.Generator().manual_seed(1)
    vector = TaskVector(torch.randn(400, 3, generator=draw), torch.randn(3, 900, generator=draw))
    k = max(1, int(share * 400 * 900))
    expected = without_kernels(monkeypatch, lambda: kth_largest_magnitude(vector, k))
    assert kth_largest_magnitude(vector, k) == expected


def test_a_step_of_a_users_own_works_beside_the_kernels(compiled, monkeypatch):
    """An elect step may return what no kernel takes: here a view that is not contiguous."""
    method = method_info("ties").build()
    vectors = [
        TaskVector(torch.randn(9, 2), torch.randn(2, 6), weight=weight) for weight in (1.0, 2.0)
    ]
    mine = replace(method, elect=lambda tally, zero: (tally.total.T >= 0).float().T)
    np.testing.assert_array_equal(
        merge_entries(vectors, mine, 3.0), merge_entries(vectors, method, 3.0)
    )


def test_a_large_merge_loads_them_in_the_background(monkeypatch):
    """And a small one leaves Numba alone."""
    asked = []
    monkeypatch.setattr(kernels, "load", lambda: asked.append(True))
    monkeypatch.setattr(kernels.STATE, "tried", False)
    kernels.load_for(1_000_000)
    assert not asked
    kernels.load_for(500_000_000)
    for thread in threading.enumerate():
        if thread.name == "langmerge-kernels":
            thread.join()
    assert asked


def run_python(code, folder):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=False,
        env={"LANGMERGE_CACHE": str(folder), "PYTHONPATH": ":".join(sys.path)},
    )


def test_without_numba_and_with_a_cache_that_cannot_be_written(tmp_path):
    """Neither is an error: there are no kernels, or they are compiled anew by every process."""
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    found = run_python(
        """
        import sys
        from langmerge.merging import kernels
        assert "numba" not in sys.modules
        sys.modules["numba"] = None  # as if it were not installed
        assert not kernels.load()
        del sys.modules["numba"]
        kernels.STATE.tried = False
        assert kernels.load()
        assert not kernels.STATE.cached
        """,
        blocked,
    )
    assert found.returncode == 0, found.stderr
