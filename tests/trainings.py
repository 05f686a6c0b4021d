"""Small trainings whose rows can be learned, for tests."""

import random

import torch

from langmerge.encoding import Example
from langmerge.train.config import LoraSettings, TrainConfig

LORA = LoraSettings(r=4)


def rows(count=20, seed=0):
    """Rows that can be learned: the completion repeats the prompt's last token."""
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        prompt = [1, *(rng.randrange(5, 250) for _ in range(rng.randint(2, 12)))]
        found.append(Example(tuple(prompt), (prompt[-1], 2)))
    return found


def config(**changes):
    return TrainConfig(
        **{
            "learning_rate": 1e-2,
            "num_train_epochs": 3,
            "per_device_train_batch_size": 4,
            **changes,
        }
    )


def tensors(result):
    adapter = result.adapter
    return [
        tensor
        for name in adapter.modules
        for tensor in (adapter.factors(name).a, adapter.factors(name).b)
    ]


def equal(left, right):
    return all(torch.equal(a, b) for a, b in zip(tensors(left), tensors(right), strict=True))
