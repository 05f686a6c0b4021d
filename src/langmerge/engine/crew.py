"""The workers of a run on Ray: as many as the cluster has devices, replaced when they die."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import Any

from langmerge.engine.cluster import Cluster
from langmerge.engine.scheduler import Device
from langmerge.engine.worker import Order, Worker
from langmerge.errors import UserError
from langmerge.plan import Decision


@dataclass
class Hand:
    """A worker of the crew, and what it does.

    Attributes:
        actor: its handle.
        starting: what it tells once it has started; None afterwards.
        device: what the scheduler sees.
        told: the stream of what it tells; None while it is idle.
        decisions: what it was given and has not told the end of, by job id.
        since: when it was given them (UTC), and the run's seconds then.
        billed: seconds that the bills of those that ended have since then.
    """

    actor: Any
    starting: Any
    device: Device
    told: Any = None
    decisions: dict[str, Decision] = field(default_factory=dict)
    since: tuple[str, float] = ("", 0.0)
    billed: float = 0.0


class Crew:
    """The workers: as many as the cluster has devices, replaced when they die."""

    def __init__(self, ray: Any, order: Order, cluster: Cluster) -> None:
        self._ray = ray
        self._order = ray.put(order)
        resources = ray.cluster_resources()
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        self._gpus = int(resources.get("GPU", 0))
        self._count = cluster.workers or self._gpus or len(nodes)
        if self._gpus:
            cpus = 1.0
        elif cluster.workers:
            cpus = max(1.0, resources.get("CPU", 0) // cluster.workers)
        else:
            cpus = min((node["CPU"] for node in nodes if node.get("CPU")), default=0.0)
        if not resources.get("CPU"):
            raise UserError("the cluster has no CPUs to give; `ray status` shows what it has")
        self._options: dict[str, Any] = {
            "num_cpus": cpus,
            "num_gpus": 1 if self._gpus else 0,
            "scheduling_strategy": "SPREAD",
            "max_restarts": 0,
            "max_task_retries": 0,
        }
        if cluster.memory is not None:
            self._options["memory"] = cluster.memory
        self._actors = ray.remote(Worker)
        self.hands = [self._new(number) for number in range(self._count)]

    @property
    def has_gpus(self) -> bool:
        """Whether each worker has a GPU; none has one otherwise."""
        return self._gpus > 0

    def replace(self, hand: Hand) -> None:
        """Start a worker in place of a dead one; it waits for room if a node is gone."""
        place = self.hands.index(hand)
        with contextlib.suppress(Exception):
            self._ray.kill(hand.actor)
        self.hands[place] = self._new(place)

    def dismiss(self) -> None:
        """End all workers, whatever they do."""
        for hand in self.hands:
            with contextlib.suppress(Exception):
                self._ray.kill(hand.actor)

    def _new(self, number: int) -> Hand:
        actor = self._actors.options(**self._options).remote(self._order)
        device = Device(f"worker {number + 1}", gpu=bool(self._gpus))
        return Hand(actor, actor.start.remote(), device)
