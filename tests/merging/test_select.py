from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from langmerge.merging.select import kth_largest, kth_largest_magnitude
from langmerge.merging.vectors import TaskVector, tiles


def magnitudes(vector):
    """All magnitudes, computed in the same tiles."""
    found = []
    for tile in tiles(vector.shape, torch.device("cpu")):
        found.append(vector.tile(tile, torch.empty(tile.shape)).abs().flatten())
    return torch.cat(found)


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 300),
    columns=st.integers(1, 600),
    rank=st.integers(1, 3),
    share=st.floats(0.0, 1.0),
    seed=st.integers(0, 99),
)
def test_kth_largest_magnitude(rows, columns, rank, share, seed):
    draw = torch.Generator().manual_seed(seed)
    vector = TaskVector(
        torch.randn(rows, rank, generator=draw), torch.randn(rank, columns, generator=draw)
    )
    k = max(1, int(share * rows * columns))
    expected = magnitudes(vector).sort(descending=True).values[k - 1]
    assert kth_largest_magnitude(vector, k) == float(expected)


@pytest.mark.parametrize("kind", ["constant", "zero", "sparse", "outlier"])
@pytest.mark.parametrize("share", [1e-5, 0.1, 0.5, 0.999, 1.0])
def test_degenerate_task_vectors(kind, share):
    b, a = torch.ones(200, 1), torch.ones(1, 700)
    if kind == "zero":
        b = torch.zeros(200, 1)
    if kind == "sparse":
        b[5:] = 0.0
    if kind == "outlier":
        b[0], a[0, 0] = 1e20, 1e10
    vector = TaskVector(b, a)
    k = max(1, int(share * 200 * 700))
    expected = magnitudes(vector).sort(descending=True).values[k - 1]
    assert kth_largest_magnitude(vector, k) == float(expected)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=50), st.data())
def test_kth_largest_with_repeats(values, data):
    values = values * 100
    k = data.draw(st.integers(1, len(values)))
    assert kth_largest(torch.tensor(values), k) == sorted(values, reverse=True)[k - 1]
