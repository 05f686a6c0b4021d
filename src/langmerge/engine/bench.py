"""What all jobs of a process share: the project, the store, and one resident base model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from langmerge.adapter import Adapter
from langmerge.data import Row, read_rows
from langmerge.encoding import Encoder
from langmerge.examples import Presenter
from langmerge.memory import release_memory
from langmerge.model import BaseModel, folded, load_base
from langmerge.plan import Decision, Job, Planner
from langmerge.plan.graph import data_id

if TYPE_CHECKING:
    from typing_extensions import Self

Progress = Callable[[Job, int, int, str], None]
"""Called with a job, how much of it is done, of how much, and a note for people."""


@dataclass(frozen=True)
class Produced:
    """What a job made: its object's digest, facts for later jobs, and its own part of the bill."""

    output: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    ledger: Mapping[str, Any] = field(default_factory=dict)


Made = Callable[[Decision, Produced | Exception], None]
"""Called with a job that is done, and what it made or why it could not."""


class Bench:
    """Loads the base model on first use and keeps one adapter folded in.

    Where trainings need the base in 4 bits and all else needs it plain, one of both is in memory.

    Attributes:
        planner: knows the facts of the jobs that others need.
        project: the project.
        store: where results are.
    """

    def __init__(self, planner: Planner, base: BaseModel | None = None) -> None:
        """Set up for a plan; with the plan's base, if it is in memory already."""
        self.planner, self.project, self.store = planner, planner.project, planner.store
        self._base, self._in_4bit = base, False
        self._folded: str | None = None
        self._folding = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._folding.close()

    def base_with(self, adapter: str | None) -> BaseModel:
        """Return the base with an adapter folded into its weights, or with none.

        Raises:
            BaseModelError: if the base cannot be loaded.
            StorageError: if the store has no adapter of that digest.
        """
        base = self._resident(in_4bit=False)
        if adapter != self._folded:
            self._folding.close()
            self._folded = None
            if adapter is not None:
                self._folding.enter_context(folded(base, Adapter.load(self.store.object(adapter))))
            self._folded = adapter
        return base

    def training_base(self) -> BaseModel:
        """Return the base that adapters are trained over, none folded in.

        Raises:
            BaseModelError: if the base cannot be loaded.
            MissingExtraError: if it is to be in 4 bits, and bitsandbytes is not installed.
        """
        if self.project.train.load_in_4bit:
            return self._resident(in_4bit=True)
        return self.base_with(None)

    def _resident(self, *, in_4bit: bool) -> BaseModel:
        """Return the base, loaded if need be, after the other one is freed."""
        if self._base is not None and self._in_4bit != in_4bit:
            self._folding.close()
            self._folded = self._base = None
            release_memory()
        if self._base is None:
            dtype = self.project.train.dtype
            self._base = load_base(self.planner.base, dtype=dtype, load_in_4bit=in_4bit)
            self._in_4bit = in_4bit
        return self._base

    def rows(self, task: str, language: str, split: str) -> tuple[Row, ...]:
        """Return the rows of a language's split."""
        return read_rows(self.object_of(data_id(task, language)) / f"{split}.jsonl")

    def object_of(self, job_id: str) -> Path:
        """Return the folder of what a job made."""
        return self.store.object(self.planner.facts[job_id]["output"])

    def presenter(self, task: str, language: str) -> Presenter:
        """Return what shows a language's rows to the base as it stands."""
        assert self._base is not None
        encoder = Encoder(self._base.tokenizer, self.project.train_for(language).max_length)
        return Presenter(self.project.tasks[task], language, encoder)
