"""A run on its way to a tracker: curves as trainings end, everything else when all is done."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from langmerge.engine import JobResult, Observer, Run
from langmerge.plan.lock import LOCK_FILE
from langmerge.results import RESULTS_FILE, Results
from langmerge.tracking import values
from langmerge.tracking.outbox import Outbox, Warn, reason_of
from langmerge.tracking.tracker import Ending, Point, Tracker, open_tracker, tracking_to
from langmerge.train.record import read_record
from langmerge.workspace import Workspace


class Recorder(Observer):
    """Hears of a run and sends it to a tracker; without a tracker it does nothing.

    Every job's result is looked at, made now or before: a run that finds everything done records
    the whole of it, which makes up for one whose tracker was down.
    """

    def __init__(self, workspace: Workspace, tracker: Tracker | None, outbox: Outbox) -> None:
        self._workspace = workspace
        self._tracker = tracker
        self._outbox = outbox
        self.ending: Ending = "stopped"

    def start(self) -> None:
        """Open a run, with the project's settings as its parameters."""
        if (tracker := self._tracker) is not None:
            base = self._workspace.base.identity()
            tags = {"langmerge.project": str(self._workspace.project.folder.name)}
            tags |= {f"langmerge.base.{name}": digest for name, digest in base.items()}
            started = time.strftime("%Y-%m-%d %H:%M:%S")
            self._outbox.send(partial(tracker.start, f"run {started}", tags))
            self._outbox.send(partial(tracker.params, values.params(self._workspace)))

    def job_finished(self, result: JobResult) -> None:
        """Send a training's losses."""
        job, action = result.decision.job, result.action
        if self._tracker is not None and job.kind == "train" and action is not None:
            name = values.curve_name(job)
            self._outbox.send(partial(self._send_losses, name, action.output, _milliseconds()))

    def finished(self, run: Run, results: Results) -> None:
        """Send scores, costs, digests and files."""
        if (tracker := self._tracker) is None:
            return
        price = self._workspace.project.cost.price_per_hour
        now = _milliseconds()
        measured = {**values.scores(results), **values.costs(run, price)}
        points = [Point(name, value, 0, now) for name, value in measured.items()]
        made = {
            f"langmerge.{result.decision.job.id.replace('/', '.')}": result.action.output
            for result in run.results.values()
            if result.decision.job.kind in ("train", "merge") and result.action is not None
        }
        self._outbox.send(partial(tracker.metrics, points))
        self._outbox.send(partial(tracker.tags, made))
        self._outbox.send(partial(self._send_files, run))
        self.ending = "failed" if run.of("failed") else "finished"

    def end(self) -> None:
        """Close the run, and try what did not get through."""
        if self._tracker is not None:
            self._outbox.send(partial(self._tracker.end, self.ending))
            self._outbox.close()

    def _send_losses(self, name: str, adapter: str, now: int) -> None:
        assert self._tracker is not None
        losses = read_record(self._workspace.store.object(adapter)).losses
        points = [Point(name, loss, step, now) for step, loss in enumerate(losses, start=1)]
        self._tracker.metrics(points)

    def _send_files(self, run: Run) -> None:
        assert self._tracker is not None
        from langmerge.adapter import RECIPE_NAME

        folder, store = self._workspace.project.folder, self._workspace.store
        with tempfile.TemporaryDirectory() as name:
            files = Path(name)
            for own in (RESULTS_FILE, LOCK_FILE):
                if (folder / own).is_file():
                    shutil.copyfile(folder / own, files / own)
            for job_id, action in run.actions().items():
                if job_id.startswith("merge/"):
                    recipe = files / "recipes" / f"{job_id.partition('/')[2]}.json"
                    recipe.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(store.object(action.output) / RECIPE_NAME, recipe)
            _write_report(self._workspace.project.path, files)
            self._tracker.artifacts(files)


@contextmanager
def recording(workspace: Workspace, choice: str | None, warn: Warn) -> Iterator[Recorder]:
    """Record what is done in the block; whatever the tracker does, the block goes on.

    Args:
        workspace: the project.
        choice: the tracker's name or `none`, before what the project file says.
        warn: is told, once, if the tracker does not answer.

    Raises:
        ProjectError: if there is no such tracker.
        MissingExtraError: if its library is not installed.
    """
    settings = tracking_to(workspace.project.tracking, choice)
    tracker = None
    if settings is not None:
        tracker = open_tracker(settings, workspace.project.folder.name or "langmerge")
    outbox = Outbox(settings.to if settings else "", warn)
    recorder = Recorder(workspace, tracker, outbox)
    recorder.start()
    try:
        yield recorder
    except Exception:
        recorder.ending = "failed"
        raise
    finally:
        recorder.end()


def _write_report(project: Path, files: Path) -> None:
    """Write the report without texts of the data, or why there is none: the rest is sent anyway."""
    from langmerge.report import gather, write

    try:
        write(gather(project, texts=False), files / "report")
    except Exception as error:
        (files / "no-report.txt").write_text(reason_of(error) + "\n", encoding="utf-8")


def _milliseconds() -> int:
    return int(time.time() * 1000)
