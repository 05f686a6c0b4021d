"""Releases on their way to a model registry: a version each, and the alias on the current one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import datetime
from functools import partial

from langmerge.project import Project
from langmerge.tracking.outbox import Outbox, Warn
from langmerge.tracking.tracker import ModelVersion, Point, Tracker, open_tracker, tracking_to
from langmerge.upkeep.releases import Release
from langmerge.upkeep.serving import RELEASED_FOLDER

ALIAS = "released"


def publishing(project: Project, choice: str | None, warn: Warn) -> Callable[[Release], None]:
    """Return what publishes a release that is served: it is registered, and gets the alias.

    A release that is registered already only gets the alias, so this is for releases and rollbacks,
    and doing it again makes up for a registry that was down.

    Args:
        project: the project.
        choice: the tracker's name or `none`, before what the project file says.
        warn: is told if the registry does not answer; nothing else becomes of it.

    Raises:
        ProjectError: if there is no such tracker.
        MissingExtraError: if its library is not installed.
    """
    settings = tracking_to(project.tracking, choice)
    if settings is None:
        return lambda release: None
    experiment = settings.experiment or project.folder.name or "langmerge"
    tracker = open_tracker(settings, experiment)
    outbox = Outbox(settings.to, warn)

    def publish(release: Release) -> None:
        outbox.send(partial(publish_release, tracker, project, experiment, release))
        outbox.close()

    return publish


def publish_release(tracker: Tracker, project: Project, experiment: str, release: Release) -> None:
    """Register a served release's adapters where they are not, and move the alias to them.

    A run is open only where something is registered, and is closed however that ends.
    """
    versions = [_version(release, task, f"{experiment}-{task}", project) for task in release.models]
    missing = [version for version in versions if not tracker.is_registered(version)]
    with _run_of(tracker, release) if missing else nullcontext():
        for version in missing:
            tracker.register(version)
        for version in versions:
            tracker.set_alias(version, ALIAS)


@contextmanager
def _run_of(tracker: Tracker, release: Release) -> Iterator[None]:
    """Hold a run open for a release: it ends finished, or failed if the block raises."""
    tracker.start(f"release {release.name}", {"langmerge.release": release.name})
    try:
        tracker.metrics(_scores(release))
        yield
    except BaseException:
        with suppress(Exception):  # What went wrong first is what to tell.
            tracker.end("failed")
        raise
    tracker.end("finished")


def _scores(release: Release) -> list[Point]:
    time = _milliseconds_of(release)
    return [
        Point(f"{split}/{task}/released/{language}", value, 0, time)
        for task, languages in release.scores.items()
        for language, splits in languages.items()
        for split, value in splits.items()
    ]


def _version(release: Release, task: str, model: str, project: Project) -> ModelVersion:
    base, recipe = release.base, release.recipe
    tags = {
        "langmerge.task": task,
        "langmerge.model": release.models[task],
        "langmerge.recipe": json.dumps(recipe, sort_keys=True),
        "langmerge.seed": str(release.seed),
        "langmerge.forced": str(release.forced).lower(),
        **{f"langmerge.base.{name}": str(value) for name, value in base.items()},
        **{f"langmerge.adapter.{code}": of for code, of in release.adapters[task].items()},
        **{
            f"langmerge.score.{language}.{split}": f"{value:.4g}"
            for language, splits in release.scores.get(task, {}).items()
            for split, value in splits.items()
        },
    }
    return ModelVersion(
        model=model,
        release=release.name,
        folder=project.folder / RELEASED_FOLDER / task,
        description=release.message or f"{recipe['name']} of {', '.join(release.adapters[task])}",
        tags=tags,
    )


def _milliseconds_of(release: Release) -> int:
    return int(datetime.fromisoformat(release.created).timestamp() * 1000)
