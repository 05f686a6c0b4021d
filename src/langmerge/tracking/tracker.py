"""What langmerge asks of an experiment tracker: few enough calls that any of them fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from langmerge.errors import ProjectError, did_you_mean
from langmerge.tracking.config import TRACKERS, TrackingSettings

Ending = Literal["finished", "failed", "stopped"]


@dataclass(frozen=True)
class Point:
    """A metric's value at a step.

    Attributes:
        name: with slashes between its parts, which trackers show as groups.
        value: any number.
        step: of training, from 1; 0 for what is measured once.
        time: milliseconds since 1970; a point sent twice is the same point.
    """

    name: str
    value: float
    step: int
    time: int


@dataclass(frozen=True)
class ModelVersion:
    """A released adapter, as a model registry takes it.

    Attributes:
        model: the registered model's name.
        release: the release's name, by which the version is found again.
        folder: the adapter's files and its card.
        description: one line.
        tags: digests, scores and whatever else identifies it.
    """

    model: str
    release: str
    folder: Path
    description: str
    tags: Mapping[str, str] = field(default_factory=dict)


class Tracker(Protocol):
    """A connection to a tracker, with at most one run open.

    Methods raise whatever their library raises: `Outbox` decides what becomes of it. Each may be
    called again after it failed, with the same arguments.
    """

    def start(self, name: str, tags: Mapping[str, str]) -> None:
        """Open a run; the calls below are about it."""

    def params(self, values: Mapping[str, str]) -> None:
        """Record settings."""

    def metrics(self, points: Sequence[Point]) -> None:
        """Record values."""

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags of the run."""

    def artifacts(self, folder: Path) -> None:
        """Upload all files of a folder."""

    def end(self, ending: Ending) -> None:
        """Close the run."""

    def is_registered(self, version: ModelVersion) -> bool:
        """Return whether a release is registered already."""

    def register(self, version: ModelVersion) -> None:
        """Upload a model in the open run and register it."""

    def set_alias(self, version: ModelVersion, alias: str) -> None:
        """Let an alias lead to a registered version; it leads to one only."""


def open_tracker(settings: TrackingSettings, experiment: str) -> Tracker:
    """Return a tracker; nothing is sent yet.

    Args:
        settings: which one, and where.
        experiment: the experiment's name, where the settings do not say.

    Raises:
        MissingExtraError: if its library is not installed.
    """
    name = settings.experiment or experiment
    if settings.to == "mlflow":
        from langmerge.tracking.mlflow import MlflowTracker

        return MlflowTracker(settings.uri, name)
    from langmerge.tracking.wandb import TrackioTracker, WandbTracker

    kind = WandbTracker if settings.to == "wandb" else TrackioTracker
    return kind(settings.uri, name)


def tracking_to(settings: TrackingSettings | None, choice: str | None) -> TrackingSettings | None:
    """Return the settings of the tracker to use; None for none.

    Args:
        settings: the project's.
        choice: a tracker's name or `none`, which go before the project's; None leaves it to them.

    Raises:
        ProjectError: if the choice is unknown.
    """
    if choice is None:
        return settings
    if choice == "none":
        return None
    if choice not in TRACKERS:
        raise ProjectError(
            f"--track {choice}: no tracker of that name{did_you_mean(choice, TRACKERS)} "
            f"(known: {', '.join(TRACKERS)}, none)"
        )
    if settings is not None and settings.to == choice:
        return settings
    experiment = settings and settings.experiment  # The address is another tracker's.
    return TrackingSettings.model_validate({"to": choice, "experiment": experiment})
