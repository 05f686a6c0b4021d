"""The shapes of records people have, and the content of a row that each of them gives.

A shape says which columns it needs, which fields it gives to the prompt, and how a record becomes
`Content`. To add one, write its `build` function and add a line to `SHAPES`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from langmerge.data.choices import choice_columns, read_answer, read_choices
from langmerge.data.messages import listed, no_column, shown
from langmerge.data.record import Record, normalize_text
from langmerge.data.rows import Row
from langmerge.data.spec import RowSpec
from langmerge.errors import did_you_mean

ROLES = ("system", "user", "assistant")


@dataclass(frozen=True)
class Content:
    """A row without its identity: `Row`'s attributes of the same names."""

    fields: Mapping[str, str]
    target: str
    choices: tuple[str, ...] = ()
    answer: int | None = None
    messages: tuple[tuple[str, str], ...] = ()

    def as_row(self, id: str, group: str) -> Row:
        """Return the row of this content."""
        return Row(id, group, self.fields, self.target, self.choices, self.answer, self.messages)


@dataclass(frozen=True)
class Shape:
    """One shape of records.

    Attributes:
        name: its name in `RowSpec.shapes`.
        needs: the columns that must be there; for `choices`, columns of one choice each will do.
        gives: the fields it puts into `Row.fields`.
        build: (record, declared labels) -> content.
    """

    name: str
    needs: tuple[str, ...]
    gives: tuple[str, ...]
    build: Callable[[Record, tuple[str, ...]], Content]

    def missing(self, columns: Collection[str]) -> tuple[str, ...]:
        """Return the columns it needs that are not among `columns`."""
        return tuple(
            name
            for name in self.needs
            if name not in columns and not (name == "choices" and choice_columns(columns))
        )


def build_content(shape: Shape, record: Record, spec: RowSpec) -> Content:
    """Return the content of a record: what the shape gives, and the further fields of the prompt.

    Raises:
        DataError: a field is missing, blank or wrong.
    """
    content = shape.build(record, spec.labels)
    further = {name: _further(name, record) for name in spec.fields if name not in shape.gives}
    return replace(content, fields={**content.fields, **further})


def _text_label(record: Record, labels: tuple[str, ...]) -> Content:
    return Content({"text": record.text("text")}, _target(record, "label", labels))


def _question_choices(record: Record, labels: tuple[str, ...]) -> Content:
    choices, names = read_choices(record)
    answer = read_answer(record, choices, names)
    return Content({"question": record.text("question")}, choices[answer], choices, answer)


def _text_summary(record: Record, labels: tuple[str, ...]) -> Content:
    return Content({"text": record.text("text")}, _target(record, "summary", labels))


def _prompt_completion(record: Record, labels: tuple[str, ...]) -> Content:
    return Content({"prompt": record.text("prompt")}, _target(record, "completion", labels))


def _alpaca(record: Record, labels: tuple[str, ...]) -> Content:
    fields = {"instruction": record.text("instruction"), "input": record.optional_text("input")}
    return Content(fields, _target(record, "output", labels))


def _messages(record: Record, labels: tuple[str, ...]) -> Content:
    messages = record.nested("messages")
    if not isinstance(messages, list) or len(messages) < 2:
        raise record.error(
            "messages", f"found {shown(messages)}, expected a list of at least two messages"
        )
    turns = tuple(_turn(record, f"messages[{i}]", turn) for i, turn in enumerate(messages))
    role, content = turns[-1]
    last = f"messages[{len(turns) - 1}]"
    if role != "assistant":
        raise record.error(
            f"{last}.role",
            f"found {role!r}, expected 'assistant', for the last message is the target; "
            "remove what follows the assistant's last message",
        )
    return Content({}, _as_label(record, f"{last}.content", content, labels), messages=turns[:-1])


SHAPES: Mapping[str, Shape] = {
    shape.name: shape
    for shape in (
        Shape("text_label", ("text", "label"), ("text",), _text_label),
        Shape(
            "question_choices", ("question", "choices", "answer"), ("question",), _question_choices
        ),
        Shape("text_summary", ("text", "summary"), ("text",), _text_summary),
        Shape("prompt_completion", ("prompt", "completion"), ("prompt",), _prompt_completion),
        Shape("messages", ("messages",), (), _messages),
        Shape("alpaca", ("instruction", "output"), ("instruction", "input"), _alpaca),
    )
}


def _turn(record: Record, name: str, turn: object) -> tuple[str, str]:
    if not isinstance(turn, Mapping) or not {"role", "content"} <= turn.keys():
        raise record.error(
            name, f'found {shown(turn)}, expected {{"role": "user", "content": "..."}}'
        )
    role = record.required_text(turn["role"], f"{name}.role")
    if role not in ROLES:
        raise record.error(
            f"{name}.role",
            f"found {shown(role)}, expected one of {listed(ROLES)}{did_you_mean(role, ROLES)}",
        )
    return role, record.required_text(turn["content"], f"{name}.content")


def _target(record: Record, name: str, labels: tuple[str, ...]) -> str:
    return _as_label(record, name, record.text(name), labels)


def _as_label(record: Record, name: str, text: str, labels: tuple[str, ...]) -> str:
    """Return the declared label that `text` names or numbers; any text where none are declared.

    A number is an index, counted from 0, unless a label is itself a number.

    Raises:
        DataError: it is none of the labels.
    """
    if not labels:
        return text
    found = text.strip()
    by_text = {normalize_text(label).strip(): label for label in labels}
    numbered = not any(text.isdecimal() for text in by_text)
    by_number = {str(i): label for i, label in enumerate(labels)} if numbered else {}
    label = {**by_number, **by_text}.get(found)
    if label is not None:
        return label
    index = f", or an index from 0 to {len(labels) - 1}" if numbered else ""
    raise record.error(
        name,
        f"found {shown(found)}, expected one of the labels {listed(labels)}{index}"
        f"{did_you_mean(found, labels) or '; mend the row or add the label to labels'}",
    )


def _further(name: str, record: Record) -> str:
    if name not in record.values:
        raise no_column(name, record.values, f"{record.location}: the prompt's field '{name}'")
    return record.optional_text(name)
