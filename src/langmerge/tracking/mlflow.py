"""MLflow: runs, metrics, artifacts, and registered models with aliases.

Everything goes through one `MlflowClient`, so MLflow's global state (its active run and experiment)
stays the user's.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from langmerge.errors import MissingExtraError
from langmerge.tracking.tracker import Ending, ModelVersion, Point

_RELEASE_TAG = "langmerge.release"

# The limits of MLflow's log_batch.
_METRICS_AT_ONCE = 1000
_OTHERS_AT_ONCE = 100
_LONGEST_PARAM = 6000
_LONGEST_TAG = 5000

_STATUS = {"finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}
_NOT_IN_NAMES = re.compile(r"[^\w.\- :/]")
_NOT_IN_MODELS = re.compile(r"[/:'\"]")

# By MLflow's own defaults, a call to a server that is down takes minutes to fail.
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_NOISY = ("mlflow", "alembic", "urllib3.connectionpool")

_Item = TypeVar("_Item")


class MlflowTracker:
    """An MLflow server, or the database or folder its URI names.

    Args:
        uri: the environment's MLFLOW_TRACKING_URI goes before it; MLflow's default without both.
        experiment: is created on first use.

    Raises:
        MissingExtraError: if MLflow is not installed.
    """

    def __init__(self, uri: str | None, experiment: str) -> None:
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        try:
            from mlflow import MlflowClient
        except ModuleNotFoundError:
            raise MissingExtraError("mlflow", "mlflow", "tracking to MLflow") from None
        for name in _NOISY:  # Their warnings would run through our progress; ours says it once.
            logging.getLogger(name).setLevel(logging.ERROR)
        self._uri = os.environ.get("MLFLOW_TRACKING_URI") or uri
        self._client_class = MlflowClient
        self._connected: Any = None
        self._experiment = experiment
        self._run: str | None = None

    @property
    def _client(self) -> Any:
        # Made on first use: for a database, this already connects to it.
        if self._connected is None:
            self._connected = self._client_class(tracking_uri=self._uri)
        return self._connected

    def start(self, name: str, tags: Mapping[str, str]) -> None:
        """Create a run in the experiment."""
        found = self._client.create_run(
            self._experiment_id(), tags={**_tags(tags), "mlflow.source.name": "langmerge"},
            run_name=name,
        )  # fmt: skip
        self._run = found.info.run_id

    def params(self, values: Mapping[str, str]) -> None:
        """Record settings; a long one is cut at MLflow's limit."""
        from mlflow.entities import Param

        cut = [Param(_name(key), value[:_LONGEST_PARAM]) for key, value in values.items()]
        for some in _chunks(cut, _OTHERS_AT_ONCE):
            self._client.log_batch(self._run, params=some)

    def metrics(self, points: Sequence[Point]) -> None:
        """Record values."""
        from mlflow.entities import Metric

        metrics = [Metric(_name(p.name), p.value, p.time, p.step) for p in points]
        for some in _chunks(metrics, _METRICS_AT_ONCE):
            self._client.log_batch(self._run, metrics=some)

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags of the run."""
        from mlflow.entities import RunTag

        tags = [RunTag(key, value) for key, value in _tags(values).items()]
        for some in _chunks(tags, _OTHERS_AT_ONCE):
            self._client.log_batch(self._run, tags=some)

    def artifacts(self, folder: Path) -> None:
        """Upload all files of a folder."""
        self._client.log_artifacts(self._run, str(folder))

    def end(self, ending: Ending) -> None:
        """Close the run with the status that MLflow has for it."""
        self._client.set_terminated(self._run, _STATUS[ending])

    def is_registered(self, version: ModelVersion) -> bool:
        """Return whether a version of the model has the release's tag."""
        return self._number_of(version) is not None

    def register(self, version: ModelVersion) -> None:
        """Upload a model as artifacts of the run, and make them a version of the model."""
        name, place = _model(version), f"model/{version.folder.name}"
        if not self._client.search_registered_models(f"name = '{name}'"):
            self._client.create_registered_model(name)
        self._client.log_artifacts(self._run, str(version.folder), place)
        self._client.create_model_version(
            name,
            f"runs:/{self._run}/{place}",
            self._run,
            tags=_tags({**version.tags, _RELEASE_TAG: version.release}),
            description=version.description,
        )

    def set_alias(self, version: ModelVersion, alias: str) -> None:
        """Let an alias of the registered model lead to the version of a release."""
        number = self._number_of(version)
        self._client.set_registered_model_alias(_model(version), alias, number)

    def _number_of(self, version: ModelVersion) -> str | None:
        found = self._client.search_model_versions(f"name = '{_model(version)}'")
        for one in found:
            if one.tags.get(_RELEASE_TAG) == version.release:
                return str(one.version)
        return None

    def _experiment_id(self) -> str:
        found = self._client.get_experiment_by_name(self._experiment)
        if found is None:
            return str(self._client.create_experiment(self._experiment))
        return str(found.experiment_id)


def _model(version: ModelVersion) -> str:
    return _NOT_IN_MODELS.sub("-", version.model)


def _name(name: str) -> str:
    return _NOT_IN_NAMES.sub("_", name)


def _tags(values: Mapping[str, str]) -> dict[str, str]:
    return {_name(key): value[:_LONGEST_TAG] for key, value in values.items()}


def _chunks(items: Sequence[_Item], size: int) -> Iterator[list[_Item]]:
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some
