"""Small random adapters for the tests of merging."""

from __future__ import annotations

import numpy as np
import torch

from langmerge.adapter import Adapter, LoraFactors

SHAPES = {"layers.0.q_proj": (12, 8), "layers.0.down_proj": (7, 15), "layers.1.q_proj": (12, 8)}


def factors(rows, columns, rank, seed, scale=1.0, dtype=torch.float32):
    draw = torch.Generator().manual_seed(seed)
    return LoraFactors(
        a=torch.randn(rank, columns, generator=draw).to(dtype),
        b=torch.randn(rows, rank, generator=draw).to(dtype),
        scale=scale,
    )


def toy(seed, rank=2, scale=1.0, shapes=SHAPES, **kwargs):
    made = {
        name: factors(*shape, rank, 1000 * seed + i, scale)
        for i, (name, shape) in enumerate(shapes.items())
    }
    return Adapter.from_factors(made, base_model="toy", **kwargs)


def deltas(adapter, dtype=torch.float64):
    """All task vectors of an adapter as float64 arrays, by module."""
    return {m: adapter.factors(m).delta(dtype).numpy() for m in adapter.modules}


def assert_same(left, right, rtol=1e-5):
    """Two adapters make the same change, relative to the largest entry."""
    left, right = deltas(left), deltas(right)
    assert left.keys() == right.keys()
    for module in left:
        size = max(np.abs(right[module]).max(), 1e-12)
        assert np.abs(left[module] - right[module]).max() <= rtol * size, module
