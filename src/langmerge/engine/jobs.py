"""What each kind of job does, by kind."""

from __future__ import annotations

from collections.abc import Sequence

from langmerge.engine.bench import Bench, Made, Produced, Progress
from langmerge.engine.evaluating import evaluate
from langmerge.engine.merging import merge_adapters
from langmerge.engine.reading import read
from langmerge.engine.training import train
from langmerge.errors import FATAL
from langmerge.plan import Decision


class Workbench(Bench):
    """Carries out jobs."""

    def do(self, decisions: Sequence[Decision], made: Made, progress: Progress) -> None:
        """Carry out a unit's jobs, whose needs are done; `made` is told of each as it is done.

        Raises:
            StorageError: if nothing more can be kept.
            BaseModelError: if nothing can be computed.
        """
        if decisions[0].job.kind == "train":
            train(self, decisions, made, progress)
            return
        for decision in decisions:
            outcome: Produced | Exception
            try:
                outcome = self._do(decision, progress)
            except FATAL:
                raise
            except Exception as error:
                outcome = error
            made(decision, outcome)

    def _do(self, decision: Decision, progress: Progress) -> Produced:
        job, document = decision.job, decision.document
        assert document is not None
        if job.kind == "data":
            return read(self, job, document)
        if job.kind == "merge":
            return merge_adapters(self, job, document, progress)
        return evaluate(self, job)
