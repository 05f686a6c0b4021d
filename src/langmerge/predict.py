"""Answers to new texts by a model the project has made."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from langmerge.data import Row
from langmerge.errors import ProjectError
from langmerge.selection import Selection
from langmerge.tasks import Prediction
from langmerge.tasks.templates import template_fields

if TYPE_CHECKING:
    from langmerge.model import BaseModel


@dataclass(frozen=True)
class Answer:
    """What a model says to a text.

    Attributes:
        text: the input.
        answer: the generated text, or the candidate of highest log-likelihood.
        probabilities: of each candidate, normalized over the candidates; empty for generated text.
    """

    text: str
    answer: str
    probabilities: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """Return the answer as a JSON object."""
        return asdict(self)

    def line(self) -> str:
        """Return the answer as a line for people."""
        if not self.probabilities:
            return self.answer
        shares = ", ".join(f"{name} {share:.2f}" for name, share in self.probabilities.items())
        return f"{self.answer}  ({shares})"


def answer(
    selection: Selection, texts: Sequence[str], choices: tuple[str, ...] = ()
) -> list[Answer]:
    """Return a model's answers to texts.

    Args:
        selection: the model, its task and language.
        texts: the inputs; each fills the prompt template's one field.
        choices: the candidate answers, for multiple choice.

    Raises:
        ProjectError: if the prompt needs more than a text, or there is nothing to choose from.
    """
    rows = [_row(selection, text, choices) for text in texts]

    from langmerge.adapter import Adapter
    from langmerge.model import folded, load_base

    base = load_base(selection.workspace.base, dtype=selection.workspace.project.train.dtype)
    adapter = None if selection.adapter is None else Adapter.load(selection.adapter)
    with folded(base, adapter):
        return _answers(base, selection, texts, rows)


def answer_with(
    base: BaseModel, selection: Selection, text: str, choices: tuple[str, ...] = ()
) -> Answer:
    """Return the answer of a base that is loaded, with whatever adapter is folded into it.

    Args:
        base: the project's base.
        selection: the task and the language; its own adapter plays no part.
        text: the input.
        choices: as for `answer`.

    Raises:
        ProjectError: as `answer`.
    """
    return _answers(base, selection, [text], [_row(selection, text, choices)])[0]


def _answers(
    base: BaseModel, selection: Selection, texts: Sequence[str], rows: Sequence[Row]
) -> list[Answer]:
    from langmerge.encoding import Encoder
    from langmerge.evaluate.predict import predict_rows
    from langmerge.examples import Presenter

    project = selection.workspace.project
    encoder = Encoder(base.tokenizer, project.train_for(selection.language).max_length)
    presenter = Presenter(selection.task, selection.language, encoder)
    predictions, _ = predict_rows(base, presenter, rows, project.evaluate.batch_tokens)
    return [_answer(text, found) for text, found in zip(texts, predictions, strict=True)]


def _row(selection: Selection, text: str, choices: tuple[str, ...]) -> Row:
    task, example = selection.task, selection.example
    if task.type == "multiple_choice" and len(choices) < 2:
        raise ProjectError("--choice: give it at least twice, once for each candidate answer")
    if task.type != "multiple_choice" and choices:
        raise ProjectError(f"--choice: a {task.type} task has no choices of its own; leave it out")
    target = (choices or task.declared_labels() or ("",))[0]
    answer = 0 if choices else None  # Of no meaning: nothing is scored against it.
    if example.messages:
        return Row("text", "text", {}, target, messages=(("user", text),))
    first, *others = template_fields(task.template_for(example.fields, selection.language))
    if others not in ([], ["input"]):  # Alpaca's input is optional.
        raise ProjectError(
            f"the prompt of '{selection.language}' has the fields {', '.join([first, *others])}; "
            "predict takes one text, so it needs a prompt with one field"
        )
    return Row("text", "text", {first: text, **dict.fromkeys(others, "")}, target, choices, answer)


def _answer(text: str, found: Prediction) -> Answer:
    if found.text is not None:
        return Answer(text, found.text.strip(), {})
    highest = max(found.scores)
    weights = [math.exp(score - highest) for score in found.scores]
    shares = {
        name: weight / sum(weights) for name, weight in zip(found.candidates, weights, strict=True)
    }
    return Answer(text, max(shares, key=shares.__getitem__), shares)
