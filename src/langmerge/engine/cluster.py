"""Which cluster a run uses, and the connection to it; importing this needs no Ray."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from langmerge.errors import MissingExtraError, ProjectError, UserError


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


@contextlib.contextmanager
def connected(cluster: Cluster) -> Iterator[Any]:
    """Connect to a cluster, or start one here; yield the module `ray`.

    A connection that is there already is used, and left as it is.

    Raises:
        MissingExtraError: if Ray is not installed.
        ProjectError: if the address is a Ray client's.
        UserError: if there is no cluster at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise MissingExtraError("ray", "ray", "--engine ray") from None
    if (cluster.address or "").startswith("ray://"):
        raise ProjectError(
            f"--address {cluster.address}: a Ray client is not enough; run on a machine of the "
            "cluster with --address auto, or through `ray job submit`"
        )
    if ray.is_initialized():
        yield ray
        return
    try:
        ray.init(
            address=cluster.address or "local",
            include_dashboard=None if cluster.address else False,
            log_to_driver=False,
            logging_level="ERROR",
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        first = str(error).partition("\n")[0]
        raise UserError(f"--address {cluster.address}: {first}; `ray status` shows it") from None
    try:
        yield ray
    finally:
        ray.shutdown()
