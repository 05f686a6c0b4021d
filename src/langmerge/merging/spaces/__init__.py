"""The coordinates in which task vectors are merged.

A space changes the basis of a module's task vectors, which in factored form costs next to nothing:
the result is task vectors again, smaller ones, and a way back for the merged matrix.
"""

from __future__ import annotations

from langmerge.merging.spaces.core import core
from langmerge.merging.spaces.dense import dense
from langmerge.merging.spaces.svd import svd
from langmerge.merging.spaces.types import Space

SPACES: dict[str, Space] = {"dense": dense, "svd": svd, "core": core}
