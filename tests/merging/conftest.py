"""Laws, oracles and parity hold of the compiled kernels, where Numba is installed.

Small merges would not load them. That torch gives the same bits is shown in `test_kernels`.
"""

from __future__ import annotations

import pytest

from langmerge.merging import kernels


@pytest.fixture(scope="session", autouse=True)
def compiled_kernels():
    kernels.load()
