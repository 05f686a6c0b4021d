"""Greedy generation in batches of similar length."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList

from langmerge.encoding import Encoder
from langmerge.model import BaseModel
from langmerge.quiet import quiet_transformers


@dataclass(frozen=True, slots=True)
class GeneratedText:
    """What a model wrote.

    Attributes:
        text: without special tokens and surrounding whitespace.
        tokens: how many tokens it generated, the one it stopped at included.
        truncated: it was stopped by the limit, not by itself.
    """

    text: str
    tokens: int
    truncated: bool


def generate(
    base: BaseModel,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    *,
    stop_ids: Collection[int] | None = None,
    stop_at_newline: bool = False,
    batch_tokens: int = 4096,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[GeneratedText]:
    """Continue every prompt with the likeliest token, again and again.

    Args:
        base: the model, with an adapter folded in or without.
        prompts: token ids, at least one each.
        max_new_tokens: the limit after which a text is cut.
        stop_ids: tokens that end a text; those of the tokenizer and its chat template by default.
        stop_at_newline: end a text before the first line break after some text, too.
        batch_tokens: the most tokens (prompts with padding and new ones) computed together.
        on_progress: called with (prompts done, prompts in all).

    Returns:
        A text per prompt, in the order of the prompts.
    """
    texts: dict[int, GeneratedText] = {}
    stop_ids = Encoder(base.tokenizer).stop_ids if stop_ids is None else stop_ids
    for batch in _batches(prompts, max_new_tokens, batch_tokens):
        rows = _continuations(
            base, [prompts[i] for i in batch], max_new_tokens, stop_ids, stop_at_newline
        )
        for index, ids in zip(batch, rows, strict=True):
            texts[index] = finish(base.tokenizer, ids, stop_ids, stop_at_newline)
        if on_progress is not None:
            on_progress(len(texts), len(prompts))
    return [texts[index] for index in range(len(prompts))]


def _batches(
    prompts: Sequence[Sequence[int]], max_new_tokens: int, batch_tokens: int
) -> Iterator[list[int]]:
    batch: list[int] = []
    longest = 0
    for index in sorted(range(len(prompts)), key=lambda i: len(prompts[i]), reverse=True):
        if batch and (len(batch) + 1) * (longest + max_new_tokens) > batch_tokens:
            yield batch
            batch = []
        longest = len(prompts[index]) if not batch else longest
        batch.append(index)
    if batch:
        yield batch


def _continuations(
    base: BaseModel,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    stop_ids: Collection[int],
    stop_at_newline: bool,
) -> list[list[int]]:
    """Return what follows each prompt; after a row's stop there may be anything."""
    longest = max(map(len, prompts))
    # Padding is on the left, so that every row goes on at the same place.
    input_ids = torch.zeros(len(prompts), longest, dtype=torch.int64)
    attention = torch.zeros_like(input_ids)
    for index, prompt in enumerate(prompts):
        input_ids[index, longest - len(prompt) :] = torch.tensor(prompt)
        attention[index, longest - len(prompt) :] = 1
    stops = sorted(stop_ids)
    config = GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=False,
        max_new_tokens=max_new_tokens,
        eos_token_id=stops,
        pad_token_id=stops[0],
        use_cache=True,
    )
    criteria = [_Newline(base.tokenizer, longest)] if stop_at_newline else []
    with (
        torch.inference_mode(),
        quiet_transformers(),
        _configured(base.model, config),
        _contiguous_inputs(base.model.get_output_embeddings()),
    ):
        output = base.model.generate(
            input_ids=input_ids.to(base.device),
            attention_mask=attention.to(base.device),
            stopping_criteria=StoppingCriteriaList(criteria),
        )
    rows: list[list[int]] = output[:, longest:].tolist()
    return rows


@contextmanager
def _configured(model: Any, config: GenerationConfig) -> Iterator[None]:
    """Replace the model's generation settings inside the block.

    Passed as an argument, a configuration is completed by the checkpoint's own, which may
    penalize repetition or forbid tokens.
    """
    original = model.generation_config
    model.generation_config = config
    try:
        yield
    finally:
        model.generation_config = original


@contextmanager
def _contiguous_inputs(head: nn.Module) -> Iterator[None]:
    """Give the head contiguous inputs inside the block.

    After a prompt, transformers passes a slice of the hidden states. For that shape and stride
    torch's product copies the whole weight once for every row of the batch.
    """
    hook = head.register_forward_pre_hook(lambda _, inputs: (inputs[0].contiguous(), *inputs[1:]))
    try:
        yield
    finally:
        hook.remove()


class _Newline(StoppingCriteria):
    """Stops a row once its text, after leading whitespace, has a line break."""

    def __init__(self, tokenizer: Any, start: int) -> None:
        self._tokenizer, self._start = tokenizer, start

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        texts = self._tokenizer.batch_decode(input_ids[:, self._start :])
        done = ["\n" in text.lstrip() for text in texts]
        return torch.tensor(done, device=input_ids.device)


def finish(
    tokenizer: Any, ids: Sequence[int], stop_ids: Collection[int], stop_at_newline: bool
) -> GeneratedText:
    """Return generated ids as text; after the first of `stop_ids` there may be anything."""
    end = next((i for i, token in enumerate(ids) if token in stop_ids), None)
    kept = ids if end is None else ids[:end]
    text = tokenizer.decode(kept, skip_special_tokens=True).lstrip()
    at_newline = stop_at_newline and "\n" in text
    if at_newline:
        text = text.partition("\n")[0]
    tokens = len(ids) if end is None else end + 1
    return GeneratedText(text.rstrip(), tokens, truncated=end is None and not at_newline)
