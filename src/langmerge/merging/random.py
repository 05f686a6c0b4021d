"""Random numbers that depend on what they are for, not on when they are drawn.

A mask's bits are a hash of (seed, adapter digest, module, position): any tile can be drawn alone,
in any order, on any number of threads or on a GPU, and one language's masks are the same whichever
others are merged with it.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from langmerge.merging.vectors import Tile


def mask_key(seed: int, adapter_digest: str, module: str) -> int:
    """Return the 64-bit key of one adapter's mask for one module."""
    text = f"{seed}:{adapter_digest}:{module}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def uniform_bits(key: int, tile: Tile, columns: int, device: torch.device) -> Tensor:
    """Return uniform random int32 numbers for a tile's entries.

    The position, mixed with the key before and between the rounds, goes through the two-round
    integer hash "lowbias32" (C. Wellons, github.com/skeeto/hash-prospector).

    Args:
        key: which stream; unsigned 64 bits.
        tile: the entries' places in the matrix.
        columns: how many columns the matrix has.
        device: where to draw.

    Returns:
        `[rows, columns]` of the tile, int32, uniform over all 2^32 values.
    """
    rows = torch.arange(tile.top, tile.bottom, device=device)
    across = torch.arange(tile.left, tile.right, device=device)
    # int32 arithmetic wraps around, as the hash wants.
    first, second = (_signed(key & 0xFFFFFFFF), _signed(key >> 32))
    x = (rows * columns).to(torch.int32)[:, None] + across.to(torch.int32)[None, :]
    x ^= first
    x ^= _shifted(x, 16)
    x *= 0x7FEB352D
    x ^= second
    x ^= _shifted(x, 15)
    x *= _signed(0x846CA68B)
    x ^= _shifted(x, 16)
    return x


def _shifted(x: Tensor, bits: int) -> Tensor:
    """Shift right filling with zeros; torch's int32 shift repeats the sign."""
    return (x >> bits).bitwise_and_((1 << (32 - bits)) - 1)


def _signed(value: int) -> int:
    """Return the int32 with the bits of an unsigned 32-bit number."""
    return value - 2**32 if value >= 2**31 else value
