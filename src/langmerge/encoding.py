"""Text to token ids, so that nothing inside the data can act as a special token.

A row may well contain the characters `<eos>` or `<start_of_turn>`. They are what someone wrote,
and stay plain text; only the beginning of a sequence, its end, and the chat template's own marks
are special tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from langmerge.errors import BaseModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Message = tuple[str, str]
"""A turn of a conversation: role and content."""

# A Unicode noncharacter: legal in a string, never part of text.
_MARK = "\ufdd0"


@dataclass(frozen=True, slots=True)
class Example:
    """One row as a model trains on it; the loss is taken on `completion_ids` alone.

    Attributes:
        prompt_ids: what the model is given.
        completion_ids: what it is to produce, as far as it fits.
        lost: how many tokens of the completion were cut away.
    """

    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]
    lost: int = 0

    @property
    def length(self) -> int:
        """How many tokens it has."""
        return len(self.prompt_ids) + len(self.completion_ids)

    @property
    def cut(self) -> bool:
        """Whether a part of the completion is missing."""
        return self.lost > 0

    @property
    def cut_wholly(self) -> bool:
        """Whether nothing of the completion is left, so that there is nothing to learn."""
        return self.cut and not self.completion_ids


@dataclass(frozen=True, slots=True)
class CutCounts:
    """How many examples were too long; those cut wholly are also counted among the cut."""

    examples: int
    cut: int
    cut_wholly: int

    @classmethod
    def of(cls, examples: Sequence[Example]) -> CutCounts:
        """Count the cut ones among `examples`."""
        return cls(
            len(examples),
            sum(example.cut for example in examples),
            sum(example.cut_wholly for example in examples),
        )


class Encoder:
    """Encodes prompts, completions and conversations with one tokenizer.

    Args:
        tokenizer: a transformers tokenizer.
        max_length: the most tokens of prompt and completion together in an example.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, max_length: int = 512) -> None:
        self.tokenizer = tokenizer
        self.max_length = max_length

    def encode_prompt(self, text: str) -> list[int]:
        """Return the ids of a prompt, after the BOS token where the tokenizer sets one."""
        return [*self._beginning, *self._plain(text)]

    def encode_completion(self, text: str, eos: bool) -> list[int]:
        """Return the ids of a completion, with the end-of-sequence token if `eos`.

        Raises:
            BaseModelError: if `eos` is asked for and the tokenizer has none.
        """
        return [*self._plain(text), *([self.eos_id] if eos else [])]

    def encode_messages(
        self, messages: Sequence[Message], add_generation_prompt: bool = True
    ) -> list[int]:
        """Return the ids of a conversation as the tokenizer's chat template renders it.

        The template's special tokens are special; the same characters in a message are text.

        Raises:
            BaseModelError: if there is no chat template, or it refuses these messages.
        """
        return self._rendered_ids(self._render(messages, add_generation_prompt))

    def encode_answer(self, messages: Sequence[Message], answer: str) -> list[int]:
        """Return the ids that an assistant's answer adds after `messages`, up to its turn's end.

        Raises:
            BaseModelError: if the chat template renders the conversation differently once it is
                answered, so that no single completion leads from the one to the other.
        """
        asked = self._render(messages, add_generation_prompt=True)
        answered = self._render([*messages, ("assistant", answer)], add_generation_prompt=False)
        if not answered.startswith(asked):
            raise BaseModelError(
                "the chat template rewrites earlier turns when an answer follows, so answers "
                "cannot be trained; use a base whose template only appends, or none"
            )
        # Whitespace after the turn's end is the template's, not something a model should say.
        return self._rendered_ids(answered[len(asked) :].rstrip("\n"))

    def example(self, prompt_ids: Sequence[int], completion_ids: Sequence[int]) -> Example:
        """Return an example of at most `max_length` tokens, cut on the right."""
        prompt = tuple(prompt_ids[: self.max_length])
        completion = tuple(completion_ids[: self.max_length - len(prompt)])
        return Example(prompt, completion, lost=len(completion_ids) - len(completion))

    def fit_prompt(self, prompt_ids: Sequence[int], answer_length: int) -> list[int]:
        """Return a prompt that leaves room for an answer within `max_length`.

        One that is too long loses its beginning, not the question at its end; BOS stays.
        """
        room = max(self.max_length - answer_length, 1)
        if len(prompt_ids) <= room:
            return list(prompt_ids)
        start = self._beginning[: room - 1]
        return [*start, *prompt_ids[len(prompt_ids) - room + len(start) :]]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of `ids` without special tokens."""
        text = self.tokenizer.decode(
            list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return str(text)

    @property
    def has_chat_template(self) -> bool:
        """Whether the tokenizer can render conversations."""
        return bool(self.tokenizer.chat_template)

    @property
    def eos_id(self) -> int:
        """The id of the end-of-sequence token.

        Raises:
            BaseModelError: if the tokenizer has none.
        """
        eos = self.tokenizer.eos_token_id
        if eos is None:
            raise BaseModelError(
                "the tokenizer has no end-of-sequence token; set eos_token in tokenizer_config.json"
            )
        return int(eos)

    @cached_property
    def stop_ids(self) -> frozenset[int]:
        """The ids at which generated text ends: EOS, and the end of a turn in the chat template."""
        ids = {self.eos_id}
        if self.has_chat_template:
            # A template that refuses this conversation marks no end of a turn that we could know.
            with suppress(BaseModelError):
                ids |= self._special_ids & set(self.encode_answer([("user", "?")], "!")[-1:])
        return frozenset(ids)

    @cached_property
    def _beginning(self) -> tuple[int, ...]:
        bos = self.tokenizer.bos_token_id
        first = self.tokenizer("a").input_ids[:1]
        return (bos,) if bos is not None and first == [bos] else ()

    @cached_property
    def _special_ids(self) -> frozenset[int]:
        added = self.tokenizer.added_tokens_decoder.items()
        marked = {token_id for token_id, token in added if token.special}
        return frozenset(marked | set(self.tokenizer.all_special_ids))

    @cached_property
    def _special_pattern(self) -> re.Pattern[str]:
        texts = self.tokenizer.convert_ids_to_tokens(sorted(self._special_ids))
        # The longest first, so that no special token hides another that begins like it.
        return re.compile("|".join(re.escape(t) for t in sorted(texts, key=len, reverse=True)))

    def _plain(self, text: str) -> list[int]:
        ids = self._text_ids(text)
        if self._special_ids.isdisjoint(ids):
            return ids
        # Some vocabularies hold special tokens as ordinary pieces: break them up by hand.
        broken = self._break_specials(text).split(_MARK)
        return [token_id for piece in broken for token_id in self._text_ids(piece)]

    def _text_ids(self, text: str) -> list[int]:
        encoded = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)
        return list(encoded.input_ids)

    def _break_specials(self, text: str) -> str:
        """Put a mark inside every special token's text, so that it is none any more."""
        return self._special_pattern.sub(lambda hit: hit[0][:1] + _MARK + hit[0][1:], text)

    def _render(self, messages: Sequence[Message], add_generation_prompt: bool) -> str:
        if not self.has_chat_template:
            raise BaseModelError(
                "conversations need a chat template and the tokenizer has none; use an "
                "instruction-tuned base, or data with a prompt and a completion"
            )
        turns = [
            {"role": role, "content": self._break_specials(content)} for role, content in messages
        ]
        try:
            return str(
                self.tokenizer.apply_chat_template(
                    turns, tokenize=False, add_generation_prompt=add_generation_prompt
                )
            )
        # Templates raise what they like: jinja's errors, or those of Python code they call.
        except Exception as error:
            roles = ", ".join(role for role, _ in messages)
            raise BaseModelError(
                f"the chat template refused a conversation with the roles {roles}: {error}"
            ) from error

    def _rendered_ids(self, text: str) -> list[int]:
        if _MARK not in text:
            return list(self.tokenizer(text, add_special_tokens=False).input_ids)
        return [token_id for piece in self._pieces(text) for token_id in piece]

    def _pieces(self, text: str) -> Iterable[list[int]]:
        """Encode as the tokenizer does: special tokens by themselves, what is between as text."""
        end = 0
        for hit in self._special_pattern.finditer(text):
            yield self._plain(text[end : hit.start()].replace(_MARK, ""))
            yield list(self.tokenizer.convert_tokens_to_ids([hit[0]]))  # type: ignore[arg-type]
            end = hit.end()
        yield self._plain(text[end:].replace(_MARK, ""))
