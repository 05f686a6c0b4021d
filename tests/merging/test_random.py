from __future__ import annotations

import torch

from langmerge.merging.random import mask_key, uniform_bits
from langmerge.merging.vectors import Tile

CPU = torch.device("cpu")


def uniform(key, rows=512, columns=512):
    bits = uniform_bits(key, Tile(0, rows, 0, columns), columns, CPU)
    return (bits.double() + 2**31) / 2**32


def test_a_tile_is_a_part_of_the_whole():
    whole = uniform_bits(12345678901234, Tile(0, 40, 0, 30), 30, CPU)
    part = uniform_bits(12345678901234, Tile(7, 20, 11, 30), 30, CPU)
    assert torch.equal(part, whole[7:20, 11:30])


def test_bits_are_uniform_and_independent_of_neighbours_and_keys():
    for seed in range(5):
        u = uniform(mask_key(seed, "digest", "module"))
        other = uniform(mask_key(seed, "digest", "another"))
        n = u.numel()
        counts = torch.histc(u, 64, 0, 1)
        chi2 = ((counts - n / 64) ** 2 / (n / 64)).sum()
        assert chi2 < 130  # 63 degrees of freedom; p = 1e-6
        centred = u - 0.5
        for left, right in [
            (centred[:, 1:], centred[:, :-1]),
            (centred[1:], centred[:-1]),
            (centred, other - 0.5),
        ]:
            correlation = (left * right).mean() * 12
            assert abs(correlation) < 5 / n**0.5


def test_keys_differ_by_seed_adapter_and_module():
    keys = {mask_key(s, d, m) for s in (0, 1) for d in "ab" for m in "xy"}
    assert len(keys) == 8
    assert all(0 <= key < 2**64 for key in keys)
