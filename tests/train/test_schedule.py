import pytest
import torch
from transformers import get_scheduler

from langmerge.train.config import TrainConfig
from langmerge.train.schedule import learning_rate, total_steps

STEPS = 20


@pytest.mark.parametrize("kind", ["constant", "linear", "cosine"])
@pytest.mark.parametrize("warmup", [{}, {"warmup_steps": 5}, {"warmup_ratio": 0.11}])
def test_equals_transformers(kind, warmup):
    config = TrainConfig(lr_scheduler_type=kind, learning_rate=0.3, **warmup)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    name = "constant_with_warmup" if kind == "constant" else kind
    steps = {"warmup_steps": 5, "warmup_ratio": 3}.get(*warmup, 0) if warmup else 0
    scheduler = get_scheduler(name, optimizer, steps, STEPS)
    for step in range(STEPS):
        assert learning_rate(config, step, STEPS) == pytest.approx(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"num_train_epochs": 3}, 30),
        ({"num_train_epochs": 0.25}, 3),
        ({"num_train_epochs": 0.01}, 1),
        ({"max_steps": 7}, 7),
    ],
)
def test_number_of_steps(settings, expected):
    assert total_steps(TrainConfig(**settings), steps_per_epoch=10) == expected
