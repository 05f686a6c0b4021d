"""Weights & Biases, and trackio, which has the same interface for what is needed here.

Both keep identical content once: logging a model again makes no new version, and moves aliases to
the one that is there. So nothing is looked up before a release is registered.
"""

from __future__ import annotations

import contextlib
import importlib
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from langmerge.errors import MissingExtraError
from langmerge.tracking.tracker import Ending, ModelVersion, Point

_FILES = "langmerge-files"


class WandbTracker:
    """Weights & Biases; its own environment says who you are (WANDB_API_KEY, WANDB_ENTITY).

    Args:
        uri: of a server of one's own; W&B's by default.
        project: the project's name.

    Raises:
        MissingExtraError: if wandb is not installed.
    """

    package = "wandb"

    def __init__(self, uri: str | None, project: str) -> None:
        try:
            self._library: Any = importlib.import_module(self.package)
        except ModuleNotFoundError:
            what = f"tracking to {self.package}"
            raise MissingExtraError(self.package, self.package, what) from None
        self._uri = uri
        self._project = project
        self._run: Any = None

    def start(self, name: str, tags: Mapping[str, str]) -> None:
        """Open a run; tags become part of its configuration, for theirs have no values."""
        with _quiet():
            self._run = self._init(name, dict(tags))

    def params(self, values: Mapping[str, str]) -> None:
        """Record settings."""
        self._run.config.update(dict(values))

    def metrics(self, points: Sequence[Point]) -> None:
        """Record values."""
        for step, values in _by_step(points).items():
            self._log(step, values)

    def tags(self, values: Mapping[str, str]) -> None:
        """Add to the run's configuration."""
        self._run.config.update(dict(values))

    def artifacts(self, folder: Path) -> None:
        """Upload a folder as one artifact."""
        self._log_artifact(self._library.Artifact(_FILES, "results"), folder, [])

    def end(self, ending: Ending) -> None:
        """Close the run."""
        with _quiet():
            self._finish(ending)
        self._run = None

    def is_registered(self, version: ModelVersion) -> bool:
        """Return false: registering again makes nothing new."""
        return False

    def register(self, version: ModelVersion) -> None:
        """Log a model as an artifact, with the release's name as an alias."""
        self._log_model(version, [version.release])

    def set_alias(self, version: ModelVersion, alias: str) -> None:
        """Log the same again with the alias, which moves there."""
        self._log_model(version, [version.release, alias])

    def _init(self, name: str, config: dict[str, Any]) -> Any:
        more = {} if self._uri is None else {"base_url": self._uri}
        settings = self._library.Settings(silent=True, **more)
        # Without a key, wandb asks for one in a terminal, and waits. Whether it may ask is decided
        # by the settings of the session, not of the run: silent means that it raises instead.
        self._library.setup(settings=settings)
        return self._library.init(
            project=self._project, name=name, config=config, settings=settings
        )

    def _log(self, step: int, values: dict[str, float]) -> None:
        # W&B's own step only ever rises, and every curve here begins at 1.
        for name in values if step else ():
            self._run.define_metric(name, step_metric="step")
        self._run.log({**values, "step": step} if step else values)

    def _finish(self, ending: Ending) -> None:
        self._run.finish(exit_code=0 if ending == "finished" else 1)

    def _log_model(self, version: ModelVersion, aliases: list[str]) -> None:
        artifact = self._library.Artifact(
            version.model, "model", description=version.description, metadata=dict(version.tags)
        )
        self._log_artifact(artifact, version.folder, aliases)

    def _log_artifact(self, artifact: Any, folder: Path, aliases: list[str]) -> None:
        # Released adapters are links into the store; only a resolved path is a file to everyone.
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            artifact.add_file(str(file.resolve()), name=file.relative_to(folder).as_posix())
        with _quiet():
            self._run.log_artifact(artifact, aliases=aliases)


class TrackioTracker(WandbTracker):
    """trackio: a local database by default, or a server of its own, or a Space."""

    package = "trackio"

    def _init(self, name: str, config: dict[str, Any]) -> Any:
        return self._library.init(
            project=self._project, name=name, config=config, server_url=self._uri, embed=False,
            auto_log_cpu=False, auto_log_gpu=False,
        )  # fmt: skip

    def _log(self, step: int, values: dict[str, float]) -> None:
        self._run.log(values, step=step)

    def _finish(self, ending: Ending) -> None:
        self._library.finish()


def _by_step(points: Sequence[Point]) -> dict[int, dict[str, float]]:
    found: dict[int, dict[str, float]] = {}
    for point in points:
        found.setdefault(point.step, {})[point.name] = point.value
    return found


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what these libraries print out of our own output."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield
