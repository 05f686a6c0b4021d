"""Small trainings whose rows can be learned, for tests."""

import random

import torch

from langmerge.encoding import Example
from langmerge.train import Lesson
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


def long_rows(count, seed):
    rng = random.Random(seed)
    drawn = [[rng.randrange(5, 250) for _ in range(rng.randint(3, 60))] for _ in range(count)]
    return [Example((1, *ids[: len(ids) // 2]), (*ids[len(ids) // 2 :], 2)) for ids in drawn]


def lessons(steps=10, dropout=0.0, **changes):
    """Four that differ in everything: rank, scale, modules, batches, lengths, schedule, steps."""
    shared = {"max_steps": steps, **changes}
    patterns = {"rank_pattern": {"q_proj": 3, "down_proj": 6}, "alpha_pattern": {"q_proj": 5.0}}
    few = LoraSettings(r=2, target_modules=("q_proj", "v_proj"))
    own = LoraSettings(r=7, use_rslora=True, lora_dropout=dropout, **patterns)
    parts = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 3}
    slow = {"lr_scheduler_type": "linear", "warmup_steps": 3, "max_grad_norm": 0.1}
    few_steps = {"max_steps": max(1, steps // 2), "weight_decay": 0.1}
    head = LoraSettings(r=2, target_modules=("lm_head", "o_proj"), lora_dropout=dropout)
    return [
        Lesson("de", rows(20, 1), replace_dropout(LORA, dropout), config(**shared), 0),
        Lesson("fr", long_rows(15, 2), own, config(**shared, **parts, adam_beta2=0.99), 1),
        Lesson("ja", long_rows(9, 3), few, config(**shared | slow), 2),
        Lesson("zh", rows(11, 4), head, config(**shared | few_steps), 3),
    ]


def replace_dropout(lora, dropout):
    return lora.model_copy(update={"lora_dropout": dropout})
