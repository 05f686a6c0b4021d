"""A base model in memory on which one merge after another answers the same rows.

A candidate's merged task vectors are added to the base's weights where they are, and taken away
again by putting the originals back: no adapter is written, factored or loaded. The rows are turned
into token ids and batches once, and every candidate goes through the same batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any

from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from langmerge.adapter import Adapter
from langmerge.choose.objective import UnitName
from langmerge.choose.racing import Racing
from langmerge.data import Row
from langmerge.encoding import Encoder
from langmerge.evaluate.generation import GeneratedText, generate
from langmerge.evaluate.likelihood import plan_choices
from langmerge.evaluate.predict import scored, written
from langmerge.examples import Presenter
from langmerge.memory import halving
from langmerge.merging.engine import at_rank
from langmerge.merging.merger import Merger
from langmerge.merging.schema import Recipe
from langmerge.merging.threads import map_threads
from langmerge.merging.vectors import Merged, Product
from langmerge.model import BaseModel, changed, folded
from langmerge.tasks import Prediction, Task

Answer = Sequence[float] | tuple[str, bool]
"""Log-likelihoods of a row's candidates, or a written text and whether it was cut."""


@dataclass(frozen=True)
class Unit:
    """The rows of one task and language, in the order in which they are answered.

    Attributes:
        name: task and language.
        task: the task.
        rows: its rows.
        cuts: how many are answered at each look, and at the end.
    """

    name: UnitName
    task: Task
    rows: tuple[Row, ...]
    cuts: tuple[int, ...]

    @classmethod
    def of(cls, name: UnitName, task: Task, rows: Sequence[Row], racing: Racing) -> Unit:
        """Return a unit with its rows put in order."""
        ordered = racing.in_order(rows)
        return cls(name, task, ordered, racing.cuts(ordered))

    def predictions(self, answers: Sequence[Answer]) -> list[Prediction]:
        """Return the predictions of the first rows, as many as there are answers."""
        return [_prediction(self.task, *pair) for pair in zip(self.rows, answers, strict=False)]


@dataclass
class Bench:
    """The base, and the adapters of every task to be merged on it.

    Args:
        base: the base model; as it was after the block.
        adapters: by task, those of the languages in the order that weights are given in.
        max_lengths: of prompts, by language.
        batch_tokens: tokens in memory at once.
        ancestors: by task, what the adapters started from, if anything.
    """

    base: BaseModel
    adapters: Mapping[str, Mapping[str, Adapter]]
    max_lengths: Mapping[str, int]
    batch_tokens: int = 2048
    ancestors: Mapping[str, Adapter] = field(default_factory=dict)
    size: int | None = None
    """Entries of the adapter that the last merge would be."""
    _on: object = None
    _folding: ExitStack = field(default_factory=ExitStack)
    _plans: dict[tuple[UnitName, int, int], Callable[[], list[Any]]] = field(default_factory=dict)

    def __enter__(self) -> Bench:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._folding.close()
        self._on = None

    def put_on(self, task: str, recipe: Recipe) -> None:
        """Merge a task's adapters into the base's weights; nothing happens if they are there.

        Raises:
            MergeError: if the recipe does not suit the adapters.
        """
        if self._on == (task, recipe):
            return
        self._take_off()
        merger = Merger(
            list(self.adapters[task].values()),
            recipe.method,
            recipe.as_options(),
            device=str(self.base.device),
            ancestor=self.ancestors.get(task),
        )
        sizes: list[int] = []
        self._folding.enter_context(changed(self._changes(merger, sizes)))
        self.size, self._on = sum(sizes), (task, recipe)

    def put_on_adapter(self, task: str, language: str | None) -> None:
        """Fold one language's adapter into the base's weights; None for none."""
        self._take_off()
        if language is not None:
            self._folding.enter_context(folded(self.base, self.adapters[task][language]))

    def answer(self, unit: Unit, start: int, stop: int) -> list[Answer]:
        """Return the answers of the model, as it is now, to some rows of a unit."""
        if start >= stop:
            return []
        key = (unit.name, start, stop)
        if key not in self._plans:
            self._plans[key] = self._plan(unit, unit.rows[start:stop])
        return self._plans[key]()

    def _take_off(self) -> None:
        self._on = self.size = None
        self._folding.close()

    def _changes(self, merger: Merger, sizes: list[int]) -> Iterator[tuple[nn.Module, Tensor]]:
        """Yield each module with its merged task vector; append the entries of its factors."""
        results = map_threads(partial(_dense, merger), merger.modules, merger.workers)
        for name, (change, size) in zip(merger.modules, results, strict=True):
            sizes.append(size)
            module = self.base.module(name)
            yield module, change.T if isinstance(module, Conv1D) else change

    def _plan(self, unit: Unit, rows: Sequence[Row]) -> Callable[[], list[Any]]:
        """Encode rows, and return what has them answered."""
        encoder = Encoder(self.base.tokenizer, self.max_lengths[unit.name.language])
        presenter = Presenter(unit.task, unit.name.language, encoder)
        presented = [presenter.scoring(row) for row in rows]
        prompts = [prompt for prompt, _ in presented]
        if (writing := unit.task.writing()) is not None:
            stop_ids = encoder.stop_ids

            def write() -> list[Any]:
                texts, _ = halving(
                    lambda size: generate(
                        self.base,
                        prompts,
                        writing.max_new_tokens,
                        stop_ids=stop_ids,
                        stop_at_newline=writing.stop_at_newline,
                        batch_tokens=size,
                    ),
                    self.batch_tokens,
                )
                return [(text.text, text.truncated) for text in texts]

            return write
        choices = [candidates for _, candidates in presented]
        plans = {self.batch_tokens: plan_choices(self.base, prompts, choices, self.batch_tokens)}

        def score() -> list[Any]:
            def attempt(size: int) -> list[list[float]]:
                if size not in plans:
                    plans[size] = plan_choices(self.base, prompts, choices, size)
                return plans[size].score(self.base)

            return halving(attempt, self.batch_tokens)[0]

        return score


def _dense(merger: Merger, module: str) -> tuple[Tensor, int]:
    """Return a module's merged task vector as a matrix, and the entries of its factors."""
    merged: Merged = merger.module(module)
    if merger.recipe.rank != "full":
        merged = at_rank(merged, merger.recipe.rank).product
    if isinstance(merged, Product):
        size = merged.b.numel() + merged.a.numel()
        merged = merged.b @ merged.a
        full = min(merged.shape) * sum(merged.shape)
        return merged, min(size, full)
    return merged, min(merged.shape) * sum(merged.shape)


def entries_of(adapter: Adapter) -> int:
    """Return how many entries an adapter's factors have."""
    return sum(s.rank * (s.out_features + s.in_features) for s in adapter.shapes.values())


def _prediction(task: Task, row: Row, answer: Answer) -> Prediction:
    if answer and isinstance(answer[0], str):
        text, truncated = answer
        return written(task, row, GeneratedText(str(text), 0, bool(truncated)))
    return scored(task, row, [float(score) for score in answer])


def resident(adapter: Adapter) -> Adapter:
    """Return an adapter with its tensors in memory, so that a hundred merges read them once."""
    factors = {module: adapter.factors(module) for module in adapter.modules}
    return Adapter.from_factors(
        factors,
        base_model=adapter.base_model,
        revision=adapter.revision,
        task_type=adapter.config.get("task_type") or "CAUSAL_LM",
        embeddings=adapter.embeddings,
        extras={name: adapter.extra_tensor(name) for name in adapter.extras},
        fan_in_fan_out=bool(adapter.config.get("fan_in_fan_out")),
    )
