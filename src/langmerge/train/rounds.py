"""Rounds of training: a step of every adapter in a group, until each is done and has left."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from langmerge.errors import BaseModelError, LangmergeError, StorageError, UserError
from langmerge.model import BaseModel
from langmerge.train.checkpoint import Position, Snapshot, Writer, positions, read
from langmerge.train.flops import training_flops
from langmerge.train.lesson import Lesson, Outcome, StepTaken, Way
from langmerge.train.packing import Kernel, packing_kernel
from langmerge.train.run import AdapterRun
from langmerge.train.step import Gradients, Stepper
from langmerge.train.team import Team

OnStep = Callable[[StepTaken], None]
OnDone = Callable[[str, Outcome], None]

_SPEED_OVER = 10
"""Rounds over which an adapter's speed is told."""


@dataclass(frozen=True)
class Timing:
    """A round's wall-clock seconds, and the tokens of all adapters in it, without padding."""

    seconds: float
    tokens: int


class Rounds:
    """Trains groups of adapters, one group after the other.

    Args:
        base: the base model.
        writer: writes the checkpoints.
        checkpoint_seconds: time between them; 0 writes one after every round.
        on_step: is called after every step of every adapter.
        on_done: is called as soon as an adapter is trained or has failed.

    Attributes:
        outcomes: of the lessons that are done, by name.
        kernel: what packs rows; None pads them.
        team: the processes that share each step; only the first one tells and writes.
    """

    def __init__(
        self,
        base: BaseModel,
        writer: Writer,
        checkpoint_seconds: float,
        on_step: OnStep | None,
        on_done: OnDone | None,
    ) -> None:
        self.base = base
        self.outcomes: dict[str, Outcome] = {}
        self.team = Team()
        self.kernel: Kernel | None = packing_kernel(base)
        self._writer, self._every = writer, checkpoint_seconds
        is_first = self.team.rank == 0
        self._on_step, self._on_done = (on_step, on_done) if is_first else (None, None)
        self._saved = self._clock = time.monotonic()
        self._recent: dict[AdapterRun, deque[Timing]] = {}

    def begin(self, lessons: Sequence[Lesson]) -> list[AdapterRun]:
        """Return the runs of the lessons that can be begun; the others have failed."""
        runs = []
        for lesson in lessons:
            try:
                runs.append(AdapterRun(self.base, lesson))
            except (StorageError, BaseModelError):
                raise  # no lesson could be trained
            except LangmergeError as error:
                self._leave(lesson, error)
        return runs

    def go(
        self,
        runs: Sequence[AdapterRun],
        way: Way | None,
        at: int,
        *,
        limit: int | None = None,
    ) -> list[Timing]:
        """Take rounds with a group until every adapter is done.

        Args:
            runs: the group.
            way: is kept with the checkpoints; None keeps none, while ways are tried out.
            at: rounds taken before.
            limit: the most rounds to take.

        Returns:
            Each round's timing.
        """
        active = [run for run in runs if run.lesson.name not in self.outcomes]
        timings: list[Timing] = []
        for run in [run for run in active if run.done]:
            active.remove(run)
            self._finish(run)
        if not active:
            return timings
        # What came before the first round is that round's: making adapters, a trial of packing.
        clock = self._clock
        with Stepper(self.base, active, self.kernel, self.team) as stepper:
            while active and (limit is None or len(timings) < limit):
                found = stepper.gradients(active)
                failed = _update(found)
                active = [run for run in active if run not in failed]
                dev = {
                    run: self.team.agreed(stepper.dev_loss(run))
                    for run in active
                    if run.wants_dev_loss
                }
                failed |= _measured(dev)
                active = [run for run in active if run not in failed]
                now = time.monotonic()
                timings.append(self._share(found, now - clock, stepper.compile_seconds()))
                clock = now
                at += 1
                left = [run for run in active if run.done]
                self._save(active, Position(way, at), leaving=bool(left or failed))
                self._tell(active, found, dev)
                for run, error in failed.items():
                    self._leave(run.lesson, error)
                for run in left:
                    active.remove(run)
                    self._finish(run)
        # What is done with the last adapter, such as storing it, is not the next one's time.
        self._clock = time.monotonic()
        return timings

    def _share(
        self,
        found: dict[AdapterRun, Gradients | LangmergeError],
        seconds: float,
        compile_seconds: float,
    ) -> Timing:
        """Give each adapter its share of a round's time, by tokens."""
        tokens = {run: _tokens(of) for run, of in found.items()}
        total = sum(tokens.values())
        for run, own in tokens.items():
            share = own / total if total else 0.0
            run.progress.seconds += seconds * share
            run.progress.compile_seconds += compile_seconds * share
            recent = self._recent.setdefault(run, deque(maxlen=_SPEED_OVER))
            recent.append(Timing(seconds, own))
        return Timing(seconds, total)

    def _save(self, runs: Sequence[AdapterRun], position: Position, *, leaving: bool) -> None:
        """Write checkpoints if it is time, or if the group will be another one from now on.

        Without that, a call for those that stay would go on from a moment at which the others were
        still there, and round differently.
        """
        if position.way is None:
            return
        is_group = position.way == "grouped"
        is_due = time.monotonic() - self._saved >= self._every
        if self.team.rank or not (is_due or (leaving and is_group)):
            return
        self._writer.wait()
        for run in runs:
            if run.lesson.checkpoint_dir is not None:
                run.save(self._writer, run.lesson.checkpoint_dir, position, keep_earlier=is_group)
        if leaving:
            self._writer.wait()
        self._saved = time.monotonic()

    def _tell(
        self,
        runs: Sequence[AdapterRun],
        found: dict[AdapterRun, Gradients | LangmergeError],
        dev: dict[AdapterRun, float],
    ) -> None:
        if self._on_step is None:
            return
        for run in runs:
            recent, step = self._recent[run], run.progress.step
            seconds = max(sum(of.seconds for of in recent), 1e-9)
            self._on_step(
                StepTaken(
                    name=run.lesson.name,
                    step=step,
                    steps=run.steps,
                    loss=run.progress.losses[-1],
                    tokens_per_second=sum(of.tokens for of in recent) / seconds,
                    seconds_left=(run.steps - step) * seconds / len(recent),
                    dev_loss=dev.get(run),
                )
            )

    def _finish(self, run: AdapterRun) -> None:
        progress = run.progress
        flops = training_flops(self.base, run.factors, progress.tokens, progress.supervised_tokens)
        self._leave(run.lesson, run.result(self.base, flops))

    def _leave(self, lesson: Lesson, outcome: Outcome) -> None:
        self.outcomes[lesson.name] = outcome
        if self._on_done is not None:
            self._on_done(lesson.name, outcome)


def resume_together(runs: Sequence[AdapterRun]) -> int:
    """Bring runs to the last moment of which all have a checkpoint; return its round.

    Killed while the first of a group was being written, they begin anew. Where they were trained
    one after the other, or one of them was not in the group before, each goes on from its own last
    checkpoint, and rounds are counted on from the last of all.
    """
    found = {run: _kept(run) for run in runs}
    kept = {run: own.read for run, own in found.items()}
    for at in sorted(set.intersection(*map(set, kept.values())) if kept else (), reverse=True):
        snapshots = {run: kept[run][at]() for run in runs}
        if _resume(snapshots):
            return at
    is_first = any(not own for own in kept.values()) and all(len(own) < 2 for own in kept.values())
    if is_first and all(own.ways <= {"grouped"} for own in found.values()):
        return 0
    for run, own in kept.items():
        for at in sorted(own, reverse=True):
            if _resume({run: own[at]()}):
                break
    return max(
        [0, *(run.progress.step for run in runs), *(at for own in kept.values() for at in own)]
    )


def refuse_apart(team: Team, runs: Sequence[AdapterRun], device: torch.device) -> None:
    """Check that all processes go on from the same steps: their gradients are added up.

    Raises:
        UserError: in all of them, if one does not.
    """
    own = [run.progress.step for run in runs]
    first = team.agreed(own)
    if team.any(own != first, device):
        raise UserError(
            f"checkpoints: the processes go on from different steps (the first from {first}, "
            f"process {team.rank} from {own}); give all of them one checkpoint_dir on a shared disk"
        )


@dataclass(frozen=True)
class _Kept:
    """The checkpoints of a run: what reads each, by round, and the ways in which it was trained."""

    read: Mapping[int, Callable[[], Snapshot | None]]
    ways: frozenset[Way | None]


def _kept(run: AdapterRun) -> _Kept:
    folder = run.lesson.checkpoint_dir
    found = {} if folder is None else positions(folder, run.identity)
    by_round = {at: partial(read, path) for at, (path, _) in found.items()}
    return _Kept(by_round, frozenset(way for _, way in found.values()))


def _resume(snapshots: dict[AdapterRun, Snapshot | None]) -> bool:
    if any(snapshot is None for snapshot in snapshots.values()):
        return False
    for run, snapshot in snapshots.items():
        assert snapshot is not None
        run.resume(snapshot)
    return True


def _update(
    found: dict[AdapterRun, Gradients | LangmergeError],
) -> dict[AdapterRun, LangmergeError]:
    """Take each adapter's optimizer step; return those that failed, and why."""
    failed: dict[AdapterRun, LangmergeError] = {}
    for run, of in found.items():
        try:
            if isinstance(of, LangmergeError):
                raise of
            run.update(of.loss, of.norm, of.part)
        except LangmergeError as error:
            failed[run] = error
    return failed


def _measured(dev: Mapping[AdapterRun, float]) -> dict[AdapterRun, LangmergeError]:
    """Tell each adapter its dev loss; return those that failed by it, and why."""
    failed: dict[AdapterRun, LangmergeError] = {}
    for run, loss in dev.items():
        try:
            run.measured(loss)
        except LangmergeError as error:
            failed[run] = error
    return failed


def _tokens(found: Gradients | LangmergeError) -> int:
    return 0 if isinstance(found, LangmergeError) else found.part.tokens
