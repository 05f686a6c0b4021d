"""Rows as the model sees them: rendered by their task's templates, turned into token ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from langmerge.data import Row
from langmerge.encoding import Encoder, Example, Message
from langmerge.tasks import Task


@dataclass(frozen=True)
class Presenter:
    """How the rows of one task and language are put before a model.

    Chat models get the prompt as a user's turn through their chat template, and answer as the
    assistant; base models get the plain text.

    Args:
        task: the task, with its templates.
        language: the language, which chooses the template.
        encoder: the base model's tokenizer, with its maximal length.
    """

    task: Task
    language: str
    encoder: Encoder

    def training_example(self, row: Row) -> Example:
        """Return prompt and supervised completion as token ids, cut to the maximal length."""
        return self.encoder.example(
            self._prompt_ids(row),
            self._completion_ids(row, self.task.answer_text(row), self.task.ends_with_eos),
        )

    def scoring(self, row: Row) -> tuple[list[int], list[list[int]]]:
        """Return the prompt's ids, and those of each candidate answer (none of free text).

        The task's examples stand before the question.
        """
        candidates = [
            self._completion_ids(row, candidate, eos=False)
            for candidate in self.task.candidates(row)
        ]
        longest = max(map(len, candidates), default=0)
        shots = self.task.shots_for(self.language)
        return self.encoder.fit_prompt(self._prompt_ids(row, shots), longest), candidates

    def _prompt_ids(self, row: Row, shots: Sequence[Row] = ()) -> list[int]:
        if self._is_chat(row):
            turns = self._messages(row)
            start = 1 if turns[0][0] == "system" else 0
            answered = [turn for shot in shots for turn in self._answered(shot)]
            return self.encoder.encode_messages([*turns[:start], *answered, *turns[start:]])
        examples = "".join(f"{self._shown(shot)}\n\n" for shot in shots)
        return self.encoder.encode_prompt(examples + self.task.prompt_text(row, self.language))

    def _answered(self, shot: Row) -> tuple[Message, ...]:
        return (*self._messages(shot), ("assistant", self.task.answer_text(shot)))

    def _shown(self, shot: Row) -> str:
        completion = self.task.completion.format(target=self.task.answer_text(shot))
        return self.task.prompt_text(shot, self.language) + completion

    def _completion_ids(self, row: Row, target: str, eos: bool) -> list[int]:
        if not self._is_chat(row):
            return self.encoder.encode_completion(self.task.completion.format(target=target), eos)
        if eos:
            return self.encoder.encode_answer(self._messages(row), target)
        return self.encoder.encode_completion(target, eos=False)

    def _messages(self, row: Row) -> tuple[Message, ...]:
        return row.messages or (("user", self.task.prompt_text(row, self.language)),)

    def _is_chat(self, row: Row) -> bool:
        return bool(row.messages) or self.encoder.has_chat_template
