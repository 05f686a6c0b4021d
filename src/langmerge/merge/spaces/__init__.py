"""The coordinates in which task vectors are merged.

A space changes the basis of a module's task vectors, which in factored form costs next to nothing:
the result is task vectors again, smaller ones, and a way back for the merged matrix.
"""

from __future__ import annotations

from langmerge.merge.spaces.core import core
from langmerge.merge.spaces.dense import dense
from langmerge.merge.spaces.svd import svd
from langmerge.merge.spaces.types import Space

SPACES: dict[str, Space] = {"dense": dense, "svd": svd, "core": core}
