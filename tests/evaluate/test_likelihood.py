"""Candidates that share their prompt get the scores they get alone."""

import random

import numpy as np
import pytest
import torch

from langmerge.evaluate import likelihood
from langmerge.evaluate.likelihood import choice_log_likelihoods
from langmerge.model import BaseModel


def alone(base, prompt, choice):
    """One sequence, the model's own forward, log-softmax over everything."""
    with torch.inference_mode():
        logits = base.model(torch.tensor([[*prompt, *choice]])).logits[0].float().log_softmax(-1)
    start = len(prompt) - 1
    return sum(float(logits[start + i, token]) for i, token in enumerate(choice))


def some_rows(count, choice_lengths, longest=15, seed=0):
    rng = random.Random(seed)

    def ids(length):
        return [rng.randrange(5, 250) for _ in range(length)]

    prompts = [ids(rng.randint(1, longest)) for _ in range(count)]
    choices = [[ids(rng.choice(choice_lengths)) for _ in range(4)] for _ in range(count)]
    return prompts, choices


@pytest.fixture(params=["llama", "qwen2", "gemma3"])
def base(request, tiny_bases):
    return tiny_bases(request.param)


@pytest.mark.parametrize("lengths", [[1], [1, 2], [1, 2, 5]])
def test_equals_one_sequence_per_choice(base, lengths):
    prompts, choices = some_rows(7, lengths)
    found = choice_log_likelihoods(base, prompts, choices, batch_tokens=64)
    rows = zip(prompts, choices, strict=True)
    expected = [[alone(base, prompt, c) for c in row] for prompt, row in rows]
    assert np.array(found) == pytest.approx(np.array(expected), abs=1e-4)


def test_models_of_the_usual_kind_take_tree_masks(base):
    assert likelihood.takes_tree_masks(base)


def test_beyond_a_sliding_window_there_is_no_tree(tiny_bases):
    base = tiny_bases("gemma3")
    prompts, choices = some_rows(3, [2, 3], longest=80, seed=1)
    prompts[0] = (prompts[0] * 60)[:60]
    found = choice_log_likelihoods(base, prompts, choices)
    rows = zip(prompts, choices, strict=True)
    expected = [[alone(base, prompt, c) for c in row] for prompt, row in rows]
    assert np.array(found) == pytest.approx(np.array(expected), abs=1e-4)


def test_the_fallback_gives_the_same(tiny_base, monkeypatch):
    prompts, choices = some_rows(5, [1, 3])
    tree = choice_log_likelihoods(tiny_base, prompts, choices)
    monkeypatch.setattr(likelihood, "takes_tree_masks", lambda base: False)
    found = choice_log_likelihoods(tiny_base, prompts, choices)
    assert np.array(found) == pytest.approx(np.array(tree), abs=1e-4)


def test_a_model_that_ignores_the_mask_is_noticed(tiny_bases, monkeypatch):
    base = tiny_bases("qwen2")
    monkeypatch.delattr(base.model, "_langmerge_takes_tree_masks", raising=False)
    plain = type(base).hidden_states
    monkeypatch.setattr(
        type(base), "hidden_states", lambda self, ids, *_, past=None: plain(self, ids, past=past)
    )
    assert not likelihood.takes_tree_masks(base)
    monkeypatch.delattr(base.model, "_langmerge_takes_tree_masks")


def test_batching_changes_nothing(tiny_base):
    prompts, choices = some_rows(9, [1, 2, 4], seed=2)
    one_by_one = choice_log_likelihoods(tiny_base, prompts, choices, batch_tokens=1)
    together = choice_log_likelihoods(tiny_base, prompts, choices, batch_tokens=10_000)
    assert np.array(together) == pytest.approx(np.array(one_by_one), abs=1e-4)


def test_blocks_of_the_vocabulary_change_nothing(tiny_base, monkeypatch):
    prompts, choices = some_rows(6, [1, 3], seed=3)
    expected = choice_log_likelihoods(tiny_base, prompts, choices)
    monkeypatch.setattr(likelihood, "_SMALLEST_BLOCK", 7)
    monkeypatch.setattr(likelihood, "_BLOCK_LOGITS", {"cpu": 1})
    found = choice_log_likelihoods(tiny_base, prompts, choices)
    assert np.array(found) == pytest.approx(np.array(expected), abs=1e-5)


@pytest.fixture
def computed(monkeypatch):
    """The number of tokens in every forward pass."""
    seen = []
    plain = BaseModel.hidden_states

    def counted(self, input_ids, *rest, **named):
        seen.append(input_ids.numel())
        return plain(self, input_ids, *rest, **named)

    monkeypatch.setattr(BaseModel, "hidden_states", counted)
    return seen


@pytest.mark.parametrize("lengths", [[1], [1, 2, 5]])
def test_what_all_prompts_begin_with_is_computed_once(base, lengths, computed, monkeypatch):
    """In gemma3, prompts on either side of the sliding window of 24."""
    monkeypatch.setattr(likelihood, "_BUSY_TOKENS", 8)
    prompts, choices = some_rows(7, lengths, seed=4)
    beginning = [7, 9, 30, 11, 50, 12, 13, 90, 60, 15, 16]
    prompts = [beginning + prompt for prompt in prompts]
    rows = list(zip(prompts, choices, strict=True))
    expected = [[alone(base, prompt, c) for c in row] for prompt, row in rows]
    assert likelihood.takes_shared_beginnings(base)
    computed.clear()
    found = choice_log_likelihoods(base, prompts, choices, batch_tokens=64)
    assert np.array(found) == pytest.approx(np.array(expected), abs=1e-4)
    assert len(beginning) in computed
    # Padding included, it is less than the prompts alone would take with their beginnings.
    assert lengths != [1] or sum(computed) < sum(map(len, prompts))


def test_a_prompt_may_be_the_beginning_of_another(tiny_base, monkeypatch):
    monkeypatch.setattr(likelihood, "_BUSY_TOKENS", 1)
    prompts, choices = [[5, 6, 7], [5, 6, 7, 8], [5, 6, 7]], [[[9], [8, 4]]] * 3
    found = choice_log_likelihoods(tiny_base, prompts, choices)
    expected = [[alone(tiny_base, prompt, c) for c in choices[0]] for prompt in prompts]
    assert np.array(found) == pytest.approx(np.array(expected), abs=1e-4)


def test_short_beginnings_are_not_worth_it(tiny_base, computed):
    prompts, choices = some_rows(5, [1])
    choice_log_likelihoods(tiny_base, [[7, *prompt] for prompt in prompts], choices)
    assert len(computed) == 1


def test_copies_of_a_long_beginning_are_bounded(tiny_base, computed, monkeypatch):
    monkeypatch.setattr(likelihood, "_BUSY_TOKENS", 8)
    prompts = [[*range(5, 105), 200 + row] for row in range(20)]
    choice_log_likelihoods(tiny_base, prompts, [[[9], [8]]] * 20, batch_tokens=100)
    # One token a row is computed, 101 keys of each are kept: at most 400 in a batch.
    assert computed[-7:] == [3, 3, 3, 3, 3, 3, 2]


def test_progress_counts_rows(tiny_base):
    prompts, choices = some_rows(5, [1, 2])
    seen = []
    choice_log_likelihoods(
        tiny_base, prompts, choices, batch_tokens=40, on_progress=lambda *at: seen.append(at)
    )
    assert seen == sorted(seen)
    assert seen[-1] == (5, 5)


@pytest.mark.parametrize(("prompt", "choice"), [([], [5]), ([5], [])])
def test_empty_ids_are_refused(tiny_base, prompt, choice):
    with pytest.raises(ValueError, match="row 0"):
        choice_log_likelihoods(tiny_base, [prompt], [[choice]])
