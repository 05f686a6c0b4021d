"""Models made and asked in memory: the base is loaded once, adapters and merges are folded in."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from raw import Record, rows_path, write_json
from setups import Study

from langmerge import Adapter, merge
from langmerge.data import Row, read_rows
from langmerge.encoding import Encoder, Example
from langmerge.errors import MissingExtraError
from langmerge.evaluate.predict import predict_rows, source
from langmerge.evaluate.routing import identifier, predict_routed
from langmerge.examples import Presenter
from langmerge.memory import halving
from langmerge.model import BaseModel, folded, load_base
from langmerge.plan import plan
from langmerge.plan.graph import data_id, train_id
from langmerge.store import Action
from langmerge.tasks import Prediction, Task
from langmerge.train import train_adapter
from langmerge.train.config import LoraSettings, TrainConfig
from langmerge.workspace import Workspace, open_workspace

_ROUTING = ("languages", "adapter_bytes", "switch_seconds", "identify_seconds", "identifier")


class OutOfTimeError(Exception):
    """The part's minutes are over; what is done is kept."""


class MissingResultError(Exception):
    """A training is not finished yet, or failed."""


@dataclass(frozen=True)
class Opened:
    """A project whose trainings are done.

    Attributes:
        workspace: the project.
        task: the name of its only task.
        results: what its jobs have made, by id.
    """

    workspace: Workspace
    task: str
    results: Mapping[str, Action]

    @classmethod
    def of(cls, path: Path) -> Opened:
        """Open a project and find what is in its store."""
        workspace = open_workspace(path, steps=("train",))
        made = {d.job.id: d.result for d in plan(workspace.planner()) if d.result is not None}
        return cls(workspace, next(iter(workspace.project.tasks)), made)

    @property
    def languages(self) -> list[str]:
        """The project's languages, in its order."""
        return [*self.workspace.project.languages]

    @property
    def init(self) -> str:
        """What the adapters start from."""
        return self.workspace.project.adapter.init

    @property
    def has_ancestor(self) -> bool:
        """Whether that is an ancestor."""
        return self.workspace.project.has_ancestor

    def adapter(self, name: str, seed: int) -> Adapter:
        """Return the adapter of a language, or `combined`, or `ancestor`."""
        result = self.results.get(train_id(self.task, name, seed))
        if result is None:
            raise MissingResultError(f"{self.workspace.project.path.name}: {name} (seed {seed})")
        return Adapter.load(self.workspace.store.object(result.output))

    def rows(self, language: str, split: str) -> tuple[Row, ...]:
        """Return the rows of a split."""
        result = self.results.get(data_id(self.task, language))
        if result is None:
            raise MissingResultError(f"{self.workspace.project.path.name}: rows of {language}")
        return read_rows(self.workspace.store.object(result.output) / f"{split}.jsonl")

    def cost(self, name: str, seed: int) -> dict[str, Any]:
        """Return what a training took: rows, tokens and seconds, over all parts of a run."""
        result = self.results.get(train_id(self.task, name, seed))
        ledger = {} if result is None else result.ledger
        kept = ("rows", "tokens", "seconds", "training_seconds", "device")
        return {key: ledger[key] for key in kept if key in ledger}


class Bench:
    """Answers test and dev rows with any model, as long as there is time."""

    def __init__(self, study: Study, out_of_time: Callable[[], bool]) -> None:
        self._study = study
        self._out_of_time = out_of_time
        self._project: Opened | None = None

    @cached_property
    def _base(self) -> BaseModel:
        assert self._project is not None
        workspace = self._project.workspace
        return load_base(workspace.base, dtype=workspace.project.train.dtype)

    def base(self, project: Opened) -> BaseModel:
        """Return the base, which is that of all projects."""
        self._project = project
        return self._base

    def examples(self, project: Opened, language: str, split: str) -> list[Example]:
        """Return the rows of a split as a model trains on them."""
        presenter = self._presenter(project, language)
        return [presenter.training_example(row) for row in project.rows(language, split)]

    def ask(
        self,
        project: Opened,
        record: Record,
        model: str,
        make: Callable[[], Adapter | None],
        *,
        on: tuple[Sequence[str], str],
    ) -> None:
        """Put a model's dev scores or test answers into a record, but for those it has.

        Args:
            project: has the rows.
            record: keeps the answers.
            model: the model's name in the record.
            make: returns the adapter on the base, on first need; None for the base alone.
            on: the languages, and the split.

        Raises:
            OutOfTimeError: between two languages.
        """
        languages, split = on
        missing = [code for code in languages if not record.has(split, model, code)]
        if not missing:
            return
        self._project = project
        self._refuse_late()
        with ExitStack() as stack:
            self._fold(stack, make())
            for language in missing:
                self._refuse_late()
                predictions = self._predict(project, language, split)
                task = project.workspace.project.tasks[project.task]
                if split == "dev":
                    value: Any = round(task.measure(predictions, language)[0].value, 4)
                else:
                    self._keep_rows(project, task, language, predictions)
                    value = answers(task, predictions, language)
                record.put(split, model, language, value)

    def route(self, project: Opened, record: Record, adapters: Mapping[str, Adapter]) -> None:
        """Have test rows answered by the adapter of the language that they look like.

        The answers are those of a model `routed`; what serving so takes is noted by language.

        Raises:
            OutOfTimeError: between two languages.
            MissingResultError: if the identifier is not installed.
        """
        self._project = project
        settings = project.workspace.project
        task = settings.tasks[project.task]
        for language in adapters:
            if record.has("test", "routed", language):
                continue
            self._refuse_late()
            presenters = {code: self._presenter(project, code) for code in adapters}
            rows = project.rows(language, "test")
            try:
                # The identifier loads its models on first use; that is not what a text takes.
                identify = identifier(tuple(adapters))
                for row in rows:
                    identify(source(row))
                found, _ = halving(
                    lambda size, p=presenters, r=rows: predict_routed(
                        self._base, p, adapters, r, size
                    ),
                    settings.evaluate.batch_tokens,
                )
            except MissingExtraError as error:
                raise MissingResultError(str(error)) from None
            taken = {name: getattr(found, name) for name in _ROUTING}
            record.note(routing={**record.content["facts"].get("routing", {}), language: taken})
            self._keep_rows(project, task, language, found.predictions)
            record.put("test", "routed", language, answers(task, found.predictions, language))

    def trained(
        self,
        project: Opened,
        split: str,
        shape: Mapping[str, Any],
        changes: Mapping[str, Any],
        seed: int,
        *,
        start: Adapter | None = None,
        checkpoint_dir: Path | None = None,
    ) -> Adapter:
        """Return one adapter trained on a split of all languages.

        Args:
            project: has the rows and the settings.
            split: whose rows.
            shape: LoRA settings.
            changes: training settings in place of the project's.
            seed: of the run.
            start: the adapter to continue.
            checkpoint_dir: from where it goes on after `OutOfTimeError`; removed when it is done.

        Raises:
            OutOfTimeError: between two steps.
        """
        base = self.base(project)
        languages = project.languages
        own = project.workspace.project.train_for(None).model_dump(exclude_unset=True)
        if checkpoint_dir is not None:
            checkpoint_dir.mkdir(parents=True, exist_ok=True)
        result = train_adapter(
            base,
            [example for code in languages for example in self.examples(project, code, split)],
            LoraSettings(**shape),
            TrainConfig(**{**own, **changes}),
            seed,
            start=start,
            checkpoint_dir=checkpoint_dir,
            on_step=lambda *_: self._refuse_late(),
        )
        if checkpoint_dir is not None:
            shutil.rmtree(checkpoint_dir)
        return result.adapter

    def merged(
        self,
        adapters: Sequence[Adapter],
        recipe: Mapping[str, Any],
        seed: int,
        ancestor: Adapter | None = None,
    ) -> Adapter:
        """Return the merge by a recipe."""
        options = {"lambda_" if key == "lambda" else key: v for key, v in recipe.items()}
        method = options.pop("method")
        return merge(
            adapters, method, seed=seed, ancestor=ancestor, device=self._base.device.type, **options
        )

    def _fold(self, stack: ExitStack, adapter: Adapter | None) -> None:
        context: AbstractContextManager[BaseModel] = folded(self._base, adapter)
        stack.enter_context(context)

    def _predict(self, project: Opened, language: str, split: str) -> list[Prediction]:
        settings = project.workspace.project
        presenter = self._presenter(project, language)
        rows = project.rows(language, split)
        (predictions, _), _ = halving(
            lambda size: predict_rows(self._base, presenter, rows, batch_tokens=size),
            settings.evaluate.batch_tokens,
        )
        return predictions

    def _presenter(self, project: Opened, language: str) -> Presenter:
        settings = project.workspace.project
        encoder = Encoder(self._base.tokenizer, settings.train_for(language).max_length)
        return Presenter(settings.tasks[project.task], language, encoder)

    def _keep_rows(
        self, project: Opened, task: Task, language: str, predictions: Sequence[Prediction]
    ) -> None:
        labels = list(task.declared_labels())
        gold = [labels.index(p.target) for p in predictions] if labels else None
        groups = [prediction.group for prediction in predictions]
        path = rows_path(self._study.raw, project.task, language, len(groups))
        if not path.exists():
            write_json(path, {"groups": groups, "labels": labels, "gold": gold})

    def _refuse_late(self) -> None:
        if self._out_of_time():
            raise OutOfTimeError


def answers(task: Task, predictions: Sequence[Prediction], language: str) -> list[float]:
    """Return an answer a row: the label's number, or the row's part of the primary metric."""
    if task.declared_labels():
        return [max(range(len(p.scores)), key=p.scores.__getitem__) for p in predictions]
    metric = task.measure(predictions, language)[0]
    assert metric.name == task.primary_metric
    return [round(float(metric.finish(row)), 3) for row in metric.row_statistics]
