"""What every task type has in common: data, templates, identity, measures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, ClassVar, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from langmerge.data import Row, RowSpec
from langmerge.data.config import DataConfig
from langmerge.errors import did_you_mean
from langmerge.metrics import Integers, Metric
from langmerge.settings import Seeds, Settings
from langmerge.tasks.predictions import Prediction
from langmerge.tasks.templates import fill, template_fields

DEFAULT = "default"
"""The key of a per-language mapping of templates that serves all other languages."""

_SHAPE_PROMPTS = {"prompt": "{prompt}", "instruction": "{instruction}\n{input}"}
"""Prompts of shapes that bring their own wording, by a field only they give."""


def _has_fields(template: str) -> str:
    if not template_fields(template):
        raise ValueError(f"'{template}' has no field; name a column in braces: '{{text}}'")
    return template


Template = Annotated[str, AfterValidator(_has_fields)]


def _has_completion_slot(template: str) -> str:
    if template_fields(template) != ("target",):
        raise ValueError("a completion template has exactly one field, {target}: ' {target}'")
    return template


class Writing(NamedTuple):
    """How a model writes its answers: at most so many tokens, on one line or on several."""

    max_new_tokens: int
    stop_at_newline: bool


class Shot(BaseModel):
    """An example put before the question: the prompt's fields, and `target`, the right answer."""

    model_config = ConfigDict(extra="allow", frozen=True)  # The prompt's fields.

    __pydantic_extra__: dict[str, str] = Field(init=False)

    target: str
    """The right answer."""
    choices: tuple[str, ...] = ()
    """Of a multiple-choice question."""

    @model_validator(mode="after")
    def _target_is_a_choice(self) -> Shot:
        if self.choices and self.target not in self.choices:
            raise ValueError(
                f"target: found '{self.target}', expected one of the choices "
                f"{', '.join(self.choices)}"
            )
        return self

    def row(self) -> Row:
        """Return the example as a row."""
        answer = self.choices.index(self.target) if self.choices else None
        fields = self.__pydantic_extra__ or {}
        return Row("shot", "shot", dict(fields), self.target, self.choices, answer)


class Task(Settings, ABC):
    """Options and behaviour of one task; each type of task is a subclass in a file of its own."""

    shapes: ClassVar[tuple[str, ...]]
    """Shapes of data the task reads, in order of preference (see `langmerge.data.shapes`)."""

    default_prompt: ClassVar[str]
    """The prompt of the task's own shape, where `prompt` is not given."""

    ends_with_eos: ClassVar[bool] = True
    """Whether the end-of-sequence token is supervised after the completion."""

    type: str
    """Which task type: it decides what is predicted and measured."""
    data: DataConfig
    """Where the rows are; a path with `{language}` and `{split}` is enough."""
    prompt: Template | dict[str, Template] | None = None
    """With columns in braces; one for all languages, or by language and `default`."""
    completion: Annotated[str, AfterValidator(_has_completion_slot)] = " {target}"
    """What the model is trained to write after the prompt."""
    shots: Mapping[str, tuple[Shot, ...]] = {}
    """By language (or `default`): examples shown before every question that is evaluated."""
    seeds: Seeds | None = None
    """Runs of this task; None for the project's. They choose jobs and are part of no identity."""

    @model_validator(mode="after")
    def _shots_fill_the_prompt(self) -> Task:
        for language, shots in self.shots.items():
            for number, shot in enumerate(shots, start=1):
                fields = shot.row().fields
                templates = self._templates_around(fields, language)
                for name in (name for one in templates for name in template_fields(one)):
                    if name not in fields:
                        raise ValueError(
                            f"shots.{language}: example {number} has no '{name}', which the "
                            f"prompt needs{did_you_mean(name, fields)}"
                        )
        return self

    @property
    @abstractmethod
    def primary_metric(self) -> str:
        """The metric by which models are compared and chosen."""

    def writing(self) -> Writing | None:
        """Return how the model writes its answers; None where candidates are scored."""
        return None

    def shots_for(self, language: str) -> tuple[Row, ...]:
        """Return the examples shown before a question of a language, as rows."""
        shots = self.shots.get(language, self.shots.get(DEFAULT, ()))
        return tuple(shot.row() for shot in shots)

    def answer_text(self, row: Row) -> str:
        """Return the right answer as the model is to write it."""
        return row.target

    def declared_labels(self) -> tuple[str, ...]:
        """Return the labels all rows share; empty where rows bring their own candidates or none."""
        return ()

    def template(self, language: str) -> str | None:
        """Return the given prompt template of a language; None where rows' shape decides.

        Raises:
            KeyError: if `prompt` names languages, and neither this one nor `default`.
        """
        if isinstance(self.prompt, Mapping):
            return self.prompt[language if language in self.prompt else DEFAULT]
        return self.prompt

    def _templates_around(self, fields: Collection[str], language: str) -> Sequence[str]:
        """Return the prompt templates in which the shots given for a language may stand."""
        if not isinstance(self.prompt, Mapping):
            return [self.template_for(fields, language)]
        if language == DEFAULT:
            return list(self.prompt.values())
        if language not in self.prompt and DEFAULT not in self.prompt:
            raise ValueError(f"prompt: no template for '{language}', which has shots; add it")
        return [self.template_for(fields, language)]

    def template_for(self, fields: Collection[str], language: str) -> str:
        """Return the prompt template of rows with these fields."""
        by_shape = (prompt for field, prompt in _SHAPE_PROMPTS.items() if field in fields)
        return self.template(language) or next(by_shape, self.default_prompt)

    def prompt_text(self, row: Row, language: str) -> str:
        """Return what the model is given before the completion."""
        return fill(self.template_for(row.fields, language), row.fields)

    def row_spec(self, language: str, columns: Mapping[str, str], column: str | None) -> RowSpec:
        """Return how this task's rows of a language are to be read from a file."""
        return RowSpec(
            shapes=self.shapes,
            labels=self.declared_labels(),
            fields=template_fields(self.template(language) or ""),
            columns=columns,
            language_column=column,
            language=language,
        )

    def identity(self, language: str) -> dict[str, Any]:
        """Return what of the task's options a language's trained adapter depends on."""
        return {
            "prompt": self.template(language) or self.default_prompt,
            "completion": self.completion,
            "eos": self.ends_with_eos,
        }

    def evaluation_identity(self, language: str) -> dict[str, Any]:
        """Return what of the task's options a language's scores depend on."""
        shots = self.shots.get(language, self.shots.get(DEFAULT, ()))
        shown = {"shots": [shot.model_dump(mode="json") for shot in shots]} if shots else {}
        return {"type": self.type, **self.identity(language), **shown}

    @abstractmethod
    def candidates(self, row: Row) -> tuple[str, ...]:
        """Return the answers to be scored by log-likelihood; empty where text is generated."""

    @abstractmethod
    def measure(self, predictions: Sequence[Prediction], language: str) -> tuple[Metric, ...]:
        """Return the task's metrics of one language's predictions, the primary one first."""

    def confusion(self, predictions: Sequence[Prediction]) -> Integers | None:
        """Return how often each declared label was answered by each; None without such labels.

        Counts [labels, labels + 1]: gold labels down, answers across, the last column unparseable.
        """
        return None
