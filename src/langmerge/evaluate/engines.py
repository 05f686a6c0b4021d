"""What computes answers: transformers, or another engine behind the same two methods.

Engines get and return token ids and texts only: prompts, candidates and metrics are the same
whatever computes. Their rounding differs, so their results are never mixed: an engine's name is
part of what a result depends on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from langmerge.evaluate.generation import GeneratedText, generate
from langmerge.evaluate.likelihood import choice_log_likelihoods
from langmerge.model import BaseModel

Ids = Sequence[int]
OnProgress = Callable[[int, int], None]
"""Called with (rows done, rows in all)."""


class Engine(Protocol):
    """Computes with one model; token ids are those of its tokenizer."""

    def log_likelihoods(
        self, prompts: Sequence[Ids], choices: Sequence[Sequence[Ids]]
    ) -> list[list[float]]:
        """Return each choice's log-likelihood after its prompt, in nats, summed over tokens."""

    def generate(
        self,
        prompts: Sequence[Ids],
        max_new_tokens: int,
        *,
        stop_ids: Collection[int],
        stop_at_newline: bool,
    ) -> list[GeneratedText]:
        """Continue every prompt greedily; see `langmerge.evaluate.generation.generate`."""


@dataclass(frozen=True)
class TransformersEngine:
    """The base model in memory, with whatever adapter is folded into it.

    Args:
        base: the model.
        batch_tokens: the most tokens computed in one forward pass.
        on_progress: called after every batch.
    """

    base: BaseModel
    batch_tokens: int
    on_progress: OnProgress | None = None

    def log_likelihoods(
        self, prompts: Sequence[Ids], choices: Sequence[Sequence[Ids]]
    ) -> list[list[float]]:
        """Return each choice's log-likelihood after its prompt."""
        return choice_log_likelihoods(
            self.base, prompts, choices, self.batch_tokens, self.on_progress
        )

    def generate(
        self,
        prompts: Sequence[Ids],
        max_new_tokens: int,
        *,
        stop_ids: Collection[int],
        stop_at_newline: bool,
    ) -> list[GeneratedText]:
        """Continue every prompt greedily."""
        return generate(
            self.base,
            prompts,
            max_new_tokens,
            stop_ids=stop_ids,
            stop_at_newline=stop_at_newline,
            batch_tokens=self.batch_tokens,
            on_progress=self.on_progress,
        )
