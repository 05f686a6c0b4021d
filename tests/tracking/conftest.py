"""A real MLflow server on SQLite, and a finished project to record."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from projects import make_project

from langmerge.cli.run import run_project

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

_STARTS_WITHIN = 120


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="package")
def mlflow_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an MLflow server that was started for these tests."""
    pytest.importorskip("mlflow", reason="mlflow is not installed")
    folder, port = tmp_path_factory.mktemp("mlflow"), free_port()
    uri = f"http://127.0.0.1:{port}"
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [
                sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1",
                "--port", str(port), "--workers", "1",
                "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}",
                "--artifacts-destination", str(folder / "artifacts"),
            ],
            stdout=log, stderr=log, cwd=folder, env=os.environ, start_new_session=True,
        )  # fmt: skip
    try:
        end = time.monotonic() + _STARTS_WITHIN
        while not _is_up(uri):
            assert server.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < end, (folder / "log").read_text()
            time.sleep(0.2)
        yield uri
    finally:
        os.killpg(server.pid, signal.SIGKILL)  # nothing of it is kept
        server.wait()


def _is_up(uri: str) -> bool:
    try:
        with urllib.request.urlopen(f"{uri}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@pytest.fixture
def project(tmp_path: Path, tiny_base_folder: Path) -> Path:
    """A small project that was never run."""
    return make_project(
        tmp_path / "greetings", tiny_base_folder, compare=["base", "individual"],
        cost={"price_per_hour": 2.5},
    )  # fmt: skip


@pytest.fixture(scope="package")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_base_folder: Path) -> Path:
    """A small project that was run without a tracker."""
    project = make_project(
        tmp_path_factory.mktemp("tracked") / "known", tiny_base_folder, compare=["individual"]
    )
    run_project(project)
    return project
