import random

import pytest
import torch

from langmerge.encoding import Example
from langmerge.train.batches import Part, Sampler, collate, epoch_batches

LENGTHS = [random.Random(1).randint(5, 80) for _ in range(101)]


def test_an_epoch_holds_every_example_once():
    batches = epoch_batches(LENGTHS, 8, seed=0, epoch=0)
    assert sorted(index for batch in batches for index in batch) == list(range(101))
    assert sorted(map(len, batches)) == [5] + [8] * 12


def test_batches_depend_on_seed_and_epoch_alone():
    first = epoch_batches(LENGTHS, 8, seed=0, epoch=0)
    assert first == epoch_batches(LENGTHS, 8, seed=0, epoch=0)
    for seed, epoch in [(0, 1), (1, 0)]:
        other = epoch_batches(LENGTHS, 8, seed, epoch)
        assert {frozenset(batch) for batch in other} != {frozenset(batch) for batch in first}


def test_similar_lengths_come_together():
    batches = epoch_batches(LENGTHS, 8, seed=0, epoch=0)
    padded = sum(max(LENGTHS[i] for i in batch) * len(batch) for batch in batches)
    assert padded < 1.15 * sum(LENGTHS)


def test_a_step_is_the_same_whenever_it_is_asked_for():
    steps = [Sampler(LENGTHS, 8, seed=3).batch(step) for step in range(30)]
    sampler = Sampler(LENGTHS, 8, seed=3)
    assert [sampler.batch(step) for step in (29, 0, 13, 12)] == [
        steps[step] for step in (29, 0, 13, 12)
    ]
    assert sampler.steps_per_epoch == 13


def test_collating_by_hand():
    batch = collate([Example((1, 2), (3, 4)), Example((5,), (6,)), Example((), (7, 8))])
    assert batch.input_ids.tolist() == [[1, 2, 3], [5, 0, 0], [7, 0, 0]]
    # 2 predicts 3, 3 predicts 4; 5 predicts 6; without a prompt nothing predicts 7.
    assert batch.positions.tolist() == [1, 2, 3, 6]
    assert batch.targets.tolist() == [3, 4, 6, 8]
    assert batch.lengths == (3, 1, 1)
    assert batch.tokens == 5
    assert batch.parts == (Part(tokens=5, padded=9, supervised=4),)


def test_packing_by_hand():
    batch = collate(
        [Example((1, 2), (3, 4))], [Example((5,), (6,)), Example((), (7, 8))], packed=True
    )
    assert batch.input_ids.tolist() == [[1, 2, 3, 5, 7]]
    assert batch.position_ids.tolist() == [[0, 1, 2, 0, 0]]
    assert batch.positions.tolist() == [1, 2, 3, 4]
    assert batch.targets.tolist() == [3, 4, 6, 8]
    assert batch.parts == (Part(3, 3, 2), Part(2, 2, 2))


@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_right_padding_needs_no_mask(tiny_bases, family):
    base = tiny_bases(family)
    examples = [Example((1, 40, 50), (60, 61)), Example((1,), (90,) * 30), Example((1, 7), (9,))]
    with torch.inference_mode():
        together = collate(examples)
        hidden = base.hidden_states(together.input_ids).flatten(0, 1)[together.positions]
        alone = [collate([example]) for example in examples]
        expected = [base.hidden_states(b.input_ids).flatten(0, 1)[b.positions] for b in alone]
    torch.testing.assert_close(hidden, torch.cat(expected), atol=1e-5, rtol=1e-4)
