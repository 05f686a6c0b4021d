"""Which cluster a run uses; nothing here needs Ray."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cluster:
    """Which cluster, and what of it a run takes.

    Attributes:
        address: of a running cluster's head; None starts one on this machine.
        workers: how many; None for one per GPU, or per node where there is no GPU.
        memory: bytes of main memory that a worker reserves; None leaves that to Ray.
    """

    address: str | None = None
    workers: int | None = None
    memory: int | None = None
