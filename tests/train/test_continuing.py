"""Training that starts from an adapter, and training that runs out of memory."""

import pytest
import torch
from trainings import LORA, config, equal, rows, tensors

from langmerge.errors import AdapterError, UserError
from langmerge.train import train_adapter
from langmerge.train.config import LoraSettings
from langmerge.train.step import Stepper


def test_a_start_with_nothing_learned_comes_back_unchanged(tiny_base):
    first = train_adapter(tiny_base, rows(), LORA, config(), seed=0)

    still = train_adapter(
        tiny_base, rows(), LORA, config(learning_rate=1e-30), seed=1, start=first.adapter
    )

    assert equal(first, still)


def test_continuing_begins_where_the_adapter_stands(tiny_base):
    first = train_adapter(tiny_base, rows(), LORA, config(), seed=0)
    anew = train_adapter(tiny_base, rows(), LORA, config(max_steps=1), seed=0)
    further = train_adapter(
        tiny_base, rows(), LORA, config(max_steps=1), seed=0, start=first.adapter
    )

    assert further.losses[0] < anew.losses[0]
    assert not equal(first, further)


def test_a_checkpoint_of_another_start_is_not_continued(tiny_base, tmp_path):
    first = train_adapter(tiny_base, rows(), LORA, config(), seed=0)
    train_adapter(
        tiny_base, rows(), LORA, config(), seed=0, checkpoint_dir=tmp_path, checkpoint_seconds=0
    )

    resumed = train_adapter(
        tiny_base, rows(), LORA, config(), seed=0, start=first.adapter, checkpoint_dir=tmp_path
    )
    plain = train_adapter(tiny_base, rows(), LORA, config(), seed=0, start=first.adapter)

    assert equal(resumed, plain)


@pytest.mark.parametrize("lora", [LoraSettings(r=8), LoraSettings(r=4, target_modules=["q_proj"])])
def test_an_adapter_of_another_shape_is_refused(tiny_base, lora):
    first = train_adapter(tiny_base, rows(), LORA, config(max_steps=1), seed=0)

    with pytest.raises(AdapterError, match="train from scratch"):
        train_adapter(tiny_base, rows(), lora, config(), seed=0, start=first.adapter)


class LittleMemory:
    """Lets batches through that have at most so many examples."""

    def __init__(self, monkeypatch, most, error):
        self.failures = 0
        backward = Stepper._backward

        def limited(stepper, batch, layout, weights):
            if len(batch.lengths) > most:
                self.failures += 1
                raise error
            return backward(stepper, batch, layout, weights)

        monkeypatch.setattr(Stepper, "_backward", limited)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"),
        MemoryError(),
    ],
)
def test_out_of_memory_halves_the_micro_batch_and_trains_the_same(tiny_base, monkeypatch, error):
    steady = config(adam_epsilon=1e-3)  # which divides by nothing tiny: rounding stays small
    whole = train_adapter(tiny_base, rows(), LORA, steady, seed=0)
    memory = LittleMemory(monkeypatch, 1, error)

    halved = train_adapter(tiny_base, rows(), LORA, steady, seed=0)

    assert memory.failures == 2
    assert (whole.micro_batch_size, halved.micro_batch_size) == (4, 1)
    assert halved.steps == whole.steps
    assert halved.losses == pytest.approx(whole.losses, abs=1e-3)
    for left, right in zip(tensors(whole), tensors(halved), strict=True):
        assert torch.allclose(left, right, atol=1e-3)


def test_one_example_too_large_is_said_so(tiny_base, monkeypatch):
    LittleMemory(monkeypatch, 0, torch.OutOfMemoryError("CUDA out of memory"))

    with pytest.raises(UserError, match=r"with one example at a time; lower train\.max_length"):
        train_adapter(tiny_base, rows(), LORA, config(), seed=0)


def test_other_errors_are_not_taken_for_it(tiny_base, monkeypatch):
    LittleMemory(monkeypatch, 0, RuntimeError("shapes do not fit"))

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        train_adapter(tiny_base, rows(), LORA, config(), seed=0)
