"""One text, every model: answers side by side, over one base that stays in memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from langmerge.adapter import Adapter
from langmerge.data import read_rows
from langmerge.errors import LangmergeError, ProjectError
from langmerge.merging import Recipe
from langmerge.model import BaseModel, folded, load_base
from langmerge.plan.graph import BASE, COMBINED, INDIVIDUAL
from langmerge.predict import Answer, answer_with
from langmerge.selection import Models, Selection
from langmerge.serve.merges import Choice, Merges
from langmerge.tasks.templates import template_fields
from langmerge.workspace import Workspace

MERGED = "merged"

Progress = Callable[[float, str], None]
"""Told which share is done, and what is done now."""


@dataclass(frozen=True)
class Question:
    """What the models are asked.

    Attributes:
        task: the task's name.
        languages: the languages whose prompts and adapters are used, in order.
        text: the input.
        choices: candidate answers, of a multiple-choice task.
    """

    task: str
    languages: tuple[str, ...]
    text: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cell:
    """What a model said in a language: an answer, or why there is none.

    Attributes:
        answer: None where there is a problem.
        problem: one line, for people.
        stale: the model was trained on older data than the project has.
    """

    answer: Answer | None = None
    problem: str | None = None
    stale: bool = False


@dataclass(frozen=True)
class Comparison:
    """The answers to a question.

    Attributes:
        question: what was asked.
        models: base, individual, combined (if the project compares with it) and merged.
        recipe: by which the merged model was made.
        cells: by language and model.
        merge_seconds: how long getting the merged model took.
        seconds: how long all of it took.
    """

    question: Question
    models: tuple[str, ...]
    recipe: Recipe
    cells: dict[tuple[str, str], Cell]
    merge_seconds: float
    seconds: float


class Comparer:
    """Answers questions, one at a time; it keeps the project as it was when this was made.

    Args:
        workspace: the project, opened.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.project = workspace.project
        self._models = Models(workspace)
        self.merges = Merges(workspace.project, self._models)
        self._base: BaseModel | None = None
        self._lock = threading.Lock()
        self._selections: dict[tuple[str, str, str], Selection] = {}

    @property
    def models(self) -> tuple[str, ...]:
        """The models that are compared."""
        combined = (COMBINED,) if COMBINED in self.project.compare else ()
        return (BASE, INDIVIDUAL, *combined, MERGED)

    def load(self) -> None:
        """Load the base now, rather than at the first question.

        Raises:
            BaseModelError: if it cannot be loaded.
        """
        if self._base is None:
            self._base = load_base(self.workspace.base, dtype=self.project.train.dtype)

    def example(self, task: str, language: str) -> tuple[str, tuple[str, ...]]:
        """Return a text to begin with, and its choices: the first row held out from training.

        Raises:
            ProjectError: if the data was not read yet.
        """
        selection = self._select(task, language, BASE)
        folder = selection.rows_folder
        held_out = [folder / f"{split}.jsonl" for split in ("test", "dev")]
        found = next((path for path in held_out if path.is_file()), None)
        row = selection.example if found is None else read_rows(found)[0]
        if row.messages:
            return row.messages[-1][1], row.choices
        template = selection.task.template_for(row.fields, language)
        return row.fields.get(template_fields(template)[0], ""), row.choices

    def compare(
        self,
        question: Question,
        choice: Choice,
        on_progress: Progress = lambda share, what: None,
    ) -> Comparison:
        """Ask every model.

        A model that is missing or fails leaves a problem in its cells, and the others answer.

        Raises:
            ProjectError: if the question is not one.
            MergeError: if the recipe is wrong.
        """
        self._refuse_wrong(question)
        recipe = self.merges.recipe(choice, question.task)
        start = time.monotonic()
        with self._lock:
            self.load()
            on_progress(0.0, "merging")
            merging = time.monotonic()
            merge = self._merge(recipe, question.task, on_progress)
            merge_seconds = time.monotonic() - merging
            cells: dict[tuple[str, str], Cell] = {}
            steps = [(model, language) for model in self.models for language in question.languages]
            assert self._base is not None
            with _Folding(self._base) as folding:
                for number, (model, language) in enumerate(steps):
                    on_progress(number / len(steps), f"asking {model} in {language}")
                    cells[language, model] = self._ask(question, language, model, merge, folding)
        return Comparison(
            question, self.models, recipe, cells, merge_seconds, time.monotonic() - start
        )

    def _select(self, task: str, language: str, model: str) -> Selection:
        """Return a model; finding it reads the language's rows, so it is found once."""
        key = (task, language, model)
        if key not in self._selections:
            self._selections[key] = self._models.select(*key)
        return self._selections[key]

    def _refuse_wrong(self, question: Question) -> None:
        if question.task not in self.project.tasks:
            raise ProjectError(f"task '{question.task}': the project has none of that name")
        if unknown := [code for code in question.languages if code not in self.project.languages]:
            raise ProjectError(f"language '{unknown[0]}': the project has no such language")
        if not question.languages:
            raise ProjectError("no language is chosen; choose at least one")
        if not question.text.strip():
            raise ProjectError("there is no text; type one")
        needs_choices = self.project.tasks[question.task].type == "multiple_choice"
        if needs_choices and len(question.choices) < 2:
            raise ProjectError("fewer than two choices are given; write each in a line of its own")

    def _merge(self, recipe: Recipe, task: str, on_progress: Progress) -> Adapter | LangmergeError:
        try:
            return self.merges.adapter(
                recipe, task, lambda done, total: on_progress(done / max(total, 1), "merging")
            )
        except LangmergeError as error:
            return error

    def _ask(
        self,
        question: Question,
        language: str,
        model: str,
        merge: Adapter | LangmergeError,
        folding: _Folding,
    ) -> Cell:
        if model == MERGED and isinstance(merge, LangmergeError):
            return Cell(problem=str(merge))
        try:
            known = BASE if model == MERGED else model
            selection = self._select(question.task, language, known)
            base = folding.base_with(merge if model == MERGED else selection.adapter)
            said = answer_with(base, selection, question.text, question.choices)
        except LangmergeError as error:
            return Cell(problem=str(error))
        return Cell(said, stale=selection.stale)


class _Folding:
    """A base with one adapter in it, which stays while the next one asked for is the same."""

    def __init__(self, base: BaseModel) -> None:
        self._base = base
        self._adapter: object = None
        self._folded = ExitStack()

    def __enter__(self) -> _Folding:
        return self

    def __exit__(self, *_: object) -> None:
        self._folded.close()

    def base_with(self, adapter: Adapter | Path | LangmergeError | None) -> BaseModel:
        """Return the base with an adapter, or that of a folder, or none."""
        assert not isinstance(adapter, LangmergeError)
        if adapter != self._adapter:
            self._folded.close()
            self._adapter = None
            found = Adapter.load(adapter) if isinstance(adapter, Path) else adapter
            self._folded.enter_context(folded(self._base, found))
            self._adapter = adapter
        return self._base


def choices_in(text: str) -> tuple[str, ...]:
    """Return the choices of a text that has one in each line."""
    return tuple(line.strip() for line in text.splitlines() if line.strip())
