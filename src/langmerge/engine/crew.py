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
        """Ask for the workers.

        Raises:
            UserError: if no node has room for one.
        """
        self._ray = ray
        self._order = ray.put(order)
        nodes = _with_room(ray, cluster)
        self._gpus = int(sum(node.get("GPU", 0) for node in nodes))
        self._count = cluster.workers or self._gpus or len(nodes)
        if self._gpus:
            cpus = 1.0
        elif cluster.workers:
            cpus = max(1.0, sum(node["CPU"] for node in nodes) // cluster.workers)
            cpus = min(cpus, max(node["CPU"] for node in nodes))
        else:
            cpus = min(node["CPU"] for node in nodes)
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


def _with_room(ray: Any, cluster: Cluster) -> list[dict[str, float]]:
    """Return what the nodes have that can take a worker: those with a GPU, if any has one.

    Raises:
        UserError: if there are none; their workers would wait for ever.
    """
    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    nodes = [node for node in alive if node.get("CPU", 0) >= 1]
    if not nodes:
        raise UserError("the cluster has no CPUs to give; `ray status` shows what it has")
    nodes = [node for node in nodes if node.get("GPU", 0) >= 1] or nodes
    memory = cluster.memory or 0
    largest = max(node.get("memory", 0) for node in nodes)
    if memory > largest:
        raise UserError(
            f"--worker-memory {memory / 1e9:g}: no worker starts, since the cluster's largest node "
            f"has {largest / 1e9:.1f} GB to give; reserve at most that"
        )
    return [node for node in nodes if node.get("memory", 0) >= memory]
