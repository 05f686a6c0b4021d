"""Log-likelihoods of candidate answers.

All candidates of a row share the computation of its prompt: the row is one sequence, the prompt
followed by each candidate in turn, in which a candidate sees the prompt and itself alone (a tree
attention mask) and counts its positions from the end of the prompt.

A candidate's last token is never an input, for nothing is predicted from it. So candidates of one
token need no tree, only the state at the prompt's end.

What all prompts begin with (an instruction, examples) is computed once; its keys and values stand
before every sequence. The head's product with a large vocabulary is computed in blocks of tokens
that stay in a processor's cache, of which only the sum of exponentials is kept.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from langmerge.model import BaseModel

# Logits in memory at once: 4 MiB in fp32 fit a processor's cache; a GPU wants larger pieces.
_BLOCK_LOGITS = {"cpu": 1 << 20}
_BLOCK_LOGITS_ELSEWHERE = 1 << 26
_SMALLEST_BLOCK = 1024
_BUSY_TOKENS = 256
# Keys and values kept per token that is computed: a bound on the copies of a shared beginning.
_KEPT_PER_COMPUTED = 4

Ids = Sequence[int]


@dataclass(frozen=True)
class _Tree:
    """One prompt with some of its choices, as one sequence.

    Attributes:
        row: index of the prompt.
        prompt: its ids, at least one.
        choices: (index of the choice, its ids, at least one) for each branch.
    """

    row: int
    prompt: Ids
    choices: tuple[tuple[int, Ids], ...]

    @cached_property
    def branches(self) -> list[Ids]:
        """What stands after the prompt: every choice without its last token."""
        return [ids[:-1] for _, ids in self.choices]

    @cached_property
    def length(self) -> int:
        """Tokens in the sequence."""
        return len(self.prompt) + sum(map(len, self.branches))

    @property
    def branches_out(self) -> bool:
        """Whether it takes a tree mask: more than one branch has tokens."""
        return sum(map(bool, self.branches)) > 1

    @property
    def span(self) -> int:
        """The longest path from the first token to a last one."""
        return len(self.prompt) + max(map(len, self.branches))

    def scored(self) -> Iterator[tuple[int, int, int]]:
        """Yield (choice, position, target) for every token of every choice."""
        start = len(self.prompt)
        for (choice, ids), branch in zip(self.choices, self.branches, strict=True):
            positions = [len(self.prompt) - 1, *range(start, start + len(branch))]
            for position, target in zip(positions, ids, strict=True):
                yield choice, position, target
            start += len(branch)


@dataclass(frozen=True)
class _Beginning:
    """What all prompts begin with, computed.

    Attributes:
        ids: its tokens; may be none.
        layers: keys and values `[1, heads, len(ids), size]` of every layer.
    """

    ids: Ids = ()
    layers: Sequence[tuple[Tensor, Tensor]] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def before(self, count: int) -> DynamicCache | None:
        """Return the cache that stands before a batch of `count` sequences; None for no tokens.

        Nothing is copied here, and the model's appending makes new tensors.
        """
        if not self.ids:
            return None
        return DynamicCache(
            [(k.expand(count, -1, -1, -1), v.expand(count, -1, -1, -1)) for k, v in self.layers]
        )


_NOTHING = _Beginning()


def choice_log_likelihoods(
    base: BaseModel,
    prompts: Sequence[Ids],
    choices: Sequence[Sequence[Ids]],
    batch_tokens: int = 2048,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[list[float]]:
    """Return the log-likelihood of each choice after its prompt, in nats, summed over its tokens.

    Args:
        base: the model, with an adapter folded in or without.
        prompts: token ids of every row's prompt, at least one each.
        choices: token ids of every row's choices, at least one token each.
        batch_tokens: the most tokens (with padding) computed in one forward pass.
        on_progress: called with (rows done, rows in all).

    Raises:
        ValueError: if a prompt or a choice has no tokens.
    """
    return plan_choices(base, prompts, choices, batch_tokens).score(base, on_progress)


@dataclass(frozen=True)
class ChoicePlan:
    """Choices in batches, ready to be scored by one model after another.

    Attributes:
        choices: how many choices each row has.
        shared: what all prompts begin with, where computing it once saves enough.
        batches: sequences of similar length, the longest first.
    """

    choices: tuple[int, ...]
    shared: Ids
    batches: tuple[list[_Tree], ...]

    def score(
        self, base: BaseModel, on_progress: Callable[[int, int], None] | None = None
    ) -> list[list[float]]:
        """Return what `choice_log_likelihoods` returns, of the weights that `base` has now.

        Args:
            base: the model the plan was made with, with whatever adapter is folded into it.
            on_progress: called with (rows done, rows in all).
        """
        scores = [[0.0] * count for count in self.choices]
        waiting = Counter(tree.row for batch in self.batches for tree in batch)
        with torch.inference_mode():
            beginning = _compute(base, self.shared)
            for batch in self.batches:
                _score(base, batch, scores, beginning)
                waiting.subtract(tree.row for tree in batch)
                if on_progress is not None:
                    on_progress(sum(count == 0 for count in waiting.values()), len(scores))
        return scores


def plan_choices(
    base: BaseModel,
    prompts: Sequence[Ids],
    choices: Sequence[Sequence[Ids]],
    batch_tokens: int = 2048,
) -> ChoicePlan:
    """Group the choices of all rows into batches; arguments as for `choice_log_likelihoods`."""
    with torch.inference_mode():
        shared = _shared_ids(base, prompts)
        trees = [
            tree
            for row, (prompt, row_choices) in enumerate(zip(prompts, choices, strict=True))
            for tree in _plant(base, row, prompt, row_choices, len(shared))
        ]
    batches = tuple(_batches(trees, batch_tokens, len(shared)))
    return ChoicePlan(tuple(map(len, choices)), shared, batches)


def _shared_ids(base: BaseModel, prompts: Sequence[Ids]) -> Ids:
    """Return what all prompts begin with, where computing it once saves enough.

    At least one token of every prompt is left: the state at its end is needed.
    """
    beginnings = [tuple(prompt[:-1]) for prompt in prompts]
    if not beginnings:
        return ()
    # What the first and the last in lexical order share, all share.
    first, last = min(beginnings), max(beginnings)
    differs = (at for at, pair in enumerate(zip(first, last, strict=False)) if len(set(pair)) > 1)
    shared = first[: next(differs, len(first))]
    saved = len(shared) * (len(prompts) - 1)
    return shared if saved >= _BUSY_TOKENS and takes_shared_beginnings(base) else ()


def _compute(base: BaseModel, ids: Ids) -> _Beginning:
    if not ids:
        return _NOTHING
    cache: Any = DynamicCache()
    base.hidden_states(torch.tensor([ids], device=base.device), past=cache)
    return _Beginning(ids, [(layer.keys, layer.values) for layer in cache.layers])


def _plant(
    base: BaseModel, row: int, prompt: Ids, choices: Sequence[Ids], shared: int
) -> list[_Tree]:
    """Return one tree of all choices, or a sequence per choice where the model takes no tree.

    The prompt's first `shared` tokens stand before the sequences, not in them.
    """
    if not prompt or not all(choices):
        raise ValueError(f"row {row}: a prompt and each of its choices need at least one token")
    branches = tuple(enumerate(choices))
    if not branches:
        return []
    tree = _Tree(row, prompt[shared:], branches)
    if not tree.branches_out or (shared + tree.span <= _window(base) and takes_tree_masks(base)):
        return [tree]
    return [_Tree(row, prompt[shared:], (branch,)) for branch in branches]


def _window(base: BaseModel) -> float:
    """Return within how many positions every layer sees everything.

    A mask given to the model replaces those of its sliding-window layers too, so a tree must not
    be longer than the window.
    """
    config = base.model.config.get_text_config()
    windows = [getattr(config, key, None) for key in ("sliding_window", "attention_chunk_size")]
    return min((window for window in windows if window), default=math.inf)


def takes_tree_masks(base: BaseModel) -> bool:
    """Whether the model computes the same with a tree mask as with a sequence per choice.

    It is tried out on a few tokens, once per model: some architectures (recurrent layers,
    positions added in other ways, attention without custom masks) do not.
    """
    return _tried(base, "_langmerge_takes_tree_masks", _TRIED_BRANCHES, shared=0)


def takes_shared_beginnings(base: BaseModel) -> bool:
    """Whether the model computes the same after keys and values as after the tokens themselves.

    Tried out as tree masks are: recurrent layers keep a state of another kind.
    """
    trees = _TRIED_BRANCHES if takes_tree_masks(base) else _TRIED_BRANCHES[:1]
    return _tried(base, "_langmerge_takes_shared_beginnings", trees, shared=2)


_TRIED_PROMPT = (1, 2, 3)
_TRIED_BRANCHES = ((0, (2, 1, 4)), (1, (3, 2, 1)))


def _tried(base: BaseModel, name: str, branches: tuple[tuple[int, Ids], ...], shared: int) -> bool:
    """Return whether a tree after `shared` tokens scores as separate sequences do.

    The answer is kept with the model, in an attribute of this name.
    """
    answer = getattr(base.model, name, None)
    if answer is None:
        answer = _try(base, branches, shared)
        setattr(base.model, name, answer)
    return bool(answer)


def _try(base: BaseModel, branches: tuple[tuple[int, Ids], ...], shared: int) -> bool:
    together, alone = [[0.0, 0.0]], [[0.0, 0.0]]
    with torch.inference_mode():
        try:
            beginning = _compute(base, _TRIED_PROMPT[:shared])
            _score(base, [_Tree(0, _TRIED_PROMPT[shared:], branches)], together, beginning)
        except (ValueError, TypeError, RuntimeError, AttributeError, NotImplementedError):
            return False
        _score(base, [_Tree(0, _TRIED_PROMPT, (branch,)) for branch in branches], alone)
    # Half precision rounds either way of computing; a mask that is not respected changes more.
    tolerance = 1e-3 if base.dtype == torch.float32 else 0.1
    return bool(torch.allclose(torch.tensor(together), torch.tensor(alone), atol=tolerance))


def _batches(trees: Sequence[_Tree], batch_tokens: int, shared: int) -> Iterator[list[_Tree]]:
    """Group trees of similar length, with and without branches apart, the longest first."""
    batch: list[_Tree] = []
    for tree in sorted(trees, key=lambda t: (t.branches_out, t.length), reverse=True):
        if batch and not _fits(tree, batch, batch_tokens, shared):
            yield batch
            batch = []
        batch.append(tree)
    if batch:
        yield batch


def _fits(tree: _Tree, batch: Sequence[_Tree], batch_tokens: int, shared: int) -> bool:
    longest, count = batch[0].length, len(batch) + 1
    if tree.branches_out != batch[0].branches_out or count * longest > batch_tokens:
        return False
    if count * (shared + longest) > _KEPT_PER_COMPUTED * batch_tokens:
        return False
    # Once there is enough to keep a processor busy, padding costs more than another pass.
    return tree.length > 0.85 * longest or len(batch) * longest < _BUSY_TOKENS


def _score(
    base: BaseModel,
    batch: Sequence[_Tree],
    scores: list[list[float]],
    beginning: _Beginning = _NOTHING,
) -> None:
    """Add the log-likelihoods of a batch's choices to `scores`."""
    length = max(tree.length for tree in batch)
    input_ids = torch.zeros(len(batch), length, dtype=torch.int64)
    for index, tree in enumerate(batch):
        ids = [*tree.prompt, *(token for branch in tree.branches for token in branch)]
        input_ids[index, : len(ids)] = torch.tensor(ids)
    mask, positions = (None, None)
    if any(tree.branches_out for tree in batch):
        mask, positions = (
            tensor.to(base.device) for tensor in tree_attention(batch, length, len(beginning))
        )
    hidden = base.hidden_states(
        input_ids.to(base.device), mask, positions, past=beginning.before(len(batch))
    )

    owners, rows, targets = [], [], []
    for index, tree in enumerate(batch):
        for choice, position, target in tree.scored():
            owners.append((tree.row, choice))
            rows.append(index * length + position)
            targets.append(target)
    found = _log_probabilities(base, hidden.flatten(0, 1), rows, targets)
    for (row, choice), value in zip(owners, found, strict=True):
        scores[row][choice] += value


def tree_attention(batch: Sequence[_Tree], length: int, shared: int) -> tuple[Tensor, Tensor]:
    """Return which positions see which, and the position of every token.

    Args:
        batch: the sequences, padded on the right to `length`.
        length: tokens in a row.
        shared: tokens that stand before every sequence.

    Returns:
        A mask `[batch, 1, length, shared + length]`, bool, and position ids `[batch, length]`,
        int64.
    """
    # Branch 0 is the prompt; padding is a branch of its own.
    branch = torch.full((len(batch), length), -1)
    positions = torch.zeros(len(batch), length, dtype=torch.int64)
    for index, tree in enumerate(batch):
        start = len(tree.prompt)
        branch[index, :start] = 0
        positions[index, :start] = torch.arange(start)
        for number, ids in enumerate(tree.branches, start=1):
            end = start + len(ids)
            branch[index, start:end] = number
            positions[index, start:end] = torch.arange(len(ids)) + len(tree.prompt)
            start = end
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    same = branch[:, :, None] == branch[:, None, :]
    to_prompt = branch[:, None, :] == 0
    inside = ((same | to_prompt) & causal)[:, None]
    return nn.functional.pad(inside, (shared, 0), value=True), positions + shared


def _log_probabilities(
    base: BaseModel, hidden: Tensor, rows: Sequence[int], targets: Sequence[int]
) -> list[float]:
    """Return the log-probability of each target from the state in its row of `hidden`."""
    # Choices share the state at their prompt's end: every state goes through the head once.
    states, which = torch.unique(torch.tensor(rows), return_inverse=True)
    states, which = states.to(hidden.device), which.to(hidden.device)
    wanted = torch.tensor(targets, device=hidden.device)
    needed = hidden[states]
    normalizer = torch.full((len(states),), -math.inf, device=hidden.device)
    found = torch.empty(len(rows), device=hidden.device)
    limit = _BLOCK_LOGITS.get(hidden.device.type, _BLOCK_LOGITS_ELSEWHERE)
    size = max(_SMALLEST_BLOCK, limit // len(states))
    for start in range(0, base.vocabulary_size, size):
        logits = base.logits(needed, slice(start, start + size))
        normalizer = torch.logaddexp(normalizer, logits.logsumexp(dim=-1))
        inside = (wanted >= start) & (wanted < start + size)
        found[inside] = logits[which[inside], wanted[inside] - start]
    return [float(value) for value in (found - normalizer[which]).tolist()]
