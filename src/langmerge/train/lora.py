"""LoRA on a frozen model: which modules, and how they start.

An adapted module computes `W x + scale * B A dropout(x)`. The model itself is not rebuilt: the
second term is added by a hook on each module (`acting`), so the base stays one and the same for
everyone.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

from langmerge.adapter import Adapter, LoraFactors
from langmerge.errors import AdapterError, did_you_mean
from langmerge.model import BaseModel, features, held_together, is_linear
from langmerge.train.config import ALL_LINEAR, LoraSettings


@dataclass(frozen=True)
class TrainableFactors:
    """The trainable factors of one module.

    Attributes:
        a: `[rank, in]`, fp32 (fp64 on an fp64 base), requires grad.
        b: `[out, rank]`, the same.
        scale: the factor before `b @ a`.
        dropout: the share of the inputs of `a` that is dropped.
    """

    a: Tensor
    b: Tensor
    scale: float
    dropout: float = 0.0

    def __call__(self, x: Tensor) -> Tensor:
        """Return what the adapter adds to the module's output for inputs `[..., in]`."""
        low = functional.linear(x, self.a.to(x.dtype))
        return functional.linear(low * self.scale, self.b.to(x.dtype))


Factors = Mapping[str, TrainableFactors]


def target_modules(base: BaseModel, targets: str | Collection[str]) -> list[str]:
    """Return the names of the linear modules an adapter changes, in the model's order.

    Args:
        base: the base model.
        targets: as PEFT's `target_modules`: `all-linear` (all but the head), a regular expression
            for whole names, or names and ends of names (`q_proj`).

    Raises:
        AdapterError: if a target matches no linear module.
    """
    linear = [name for name, module in base.model.named_modules() if is_linear(module)]
    if targets == ALL_LINEAR:
        head = base.model.get_output_embeddings()
        found = [name for name in linear if base.module(name) is not head]
        unmatched = [] if found else [ALL_LINEAR]
    elif isinstance(targets, str):
        found = [name for name in linear if re.fullmatch(targets, name)]
        unmatched = [] if found else [targets]
    else:
        found = [name for name in linear if any(_ends_with(name, end) for end in targets)]
        unmatched = [end for end in targets if not any(_ends_with(name, end) for name in linear)]
    if unmatched:
        ends = sorted({name.rpartition(".")[2] for name in linear})
        if any(_ends_with(name, unmatched[0]) for name in held_together(base)):
            raise AdapterError(
                f"target_modules: '{unmatched[0]}' of {base.resolved.name} holds all experts of a "
                f"layer in one block, which no adapter reaches; leave it out "
                f"(there are {', '.join(ends)})"
            )
        raise AdapterError(
            f"target_modules: '{unmatched[0]}' matches no linear module of {base.resolved.name}"
            f"{did_you_mean(unmatched[0], ends)} (there are {', '.join(ends) or 'none'})"
        )
    return found


def initial_factors(
    base: BaseModel, lora: LoraSettings, seed: int | str
) -> dict[str, TrainableFactors]:
    """Return new factors on the base's device: A as PEFT draws it, B zero.

    Each A depends only on `seed` and its module's name, so adapters of one seed start alike
    whatever else they adapt.

    Raises:
        AdapterError: if `lora` names modules the base lacks.
    """
    factors = {}
    for name in target_modules(base, lora.target_modules):
        out_features, in_features = features(base.module(name))
        rank, scale = rank_and_scale(name, lora)
        a = torch.empty(rank, in_features)
        generator = torch.Generator().manual_seed(_seed_of(seed, name))
        nn.init.kaiming_uniform_(a, a=math.sqrt(5), generator=generator)
        factors[name] = TrainableFactors(
            _trainable(a, base, name),
            _trainable(torch.zeros(out_features, rank), base, name),
            scale,
            lora.lora_dropout,
        )
    return factors


def separate_start(base: BaseModel, lora: LoraSettings, seed: int, language: str) -> Adapter:
    """Return a new adapter whose A no other language of the seed starts from; B is zero.

    Raises:
        AdapterError: if `lora` names modules the base lacks.
    """
    return to_adapter(base, initial_factors(base, lora, f"{seed}:{language}"))


def continued_factors(
    base: BaseModel, lora: LoraSettings, adapter: Adapter
) -> dict[str, TrainableFactors]:
    """Return an adapter's factors as the start of a training, on the base's device.

    Raises:
        AdapterError: if the adapter has not the modules, ranks and scales that `lora` asks for.
    """
    names = target_modules(base, lora.target_modules)
    if set(names) != set(adapter.modules):
        raise AdapterError(
            f"{adapter.source}: adapts {len(adapter.modules)} modules, where target_modules names "
            f"{len(names)}; train from scratch (update.mode: scratch)"
        )
    factors = {}
    for name in names:
        found = adapter.factors(name)
        rank, scale = rank_and_scale(name, lora)
        if found.a.shape[0] != rank or not math.isclose(found.scale, scale, rel_tol=1e-6):
            raise AdapterError(
                f"{adapter.source}: {name} has rank {found.a.shape[0]} and scale {found.scale:g}, "
                f"expected {rank} and {scale:g}; train from scratch (update.mode: scratch)"
            )
        factors[name] = TrainableFactors(
            _trainable(found.a, base, name),
            _trainable(found.b, base, name),
            scale,
            lora.lora_dropout,
        )
    return factors


def rank_and_scale(module: str, lora: LoraSettings) -> tuple[int, float]:
    """Return a module's rank and scale, patterns and rslora considered."""
    rank = int(_by_pattern(module, lora.rank_pattern, lora.r))
    alpha = _by_pattern(module, lora.alpha_pattern, lora.lora_alpha)
    return rank, alpha / (math.sqrt(rank) if lora.use_rslora else rank)


def to_adapter(base: BaseModel, factors: Factors) -> Adapter:
    """Return the factors' present values as an adapter, on the CPU, fp32."""
    return Adapter.from_factors(
        {name: LoraFactors(_value(f.a), _value(f.b), f.scale) for name, f in factors.items()},
        base_model=str(base.resolved.location),
        revision=base.resolved.revision,
        fan_in_fan_out=any(isinstance(base.module(name), Conv1D) for name in factors),
    )


def _trainable(tensor: Tensor, base: BaseModel, module: str) -> Tensor:
    """Return a copy to be trained, where the module is: a base may be on several devices."""
    weight = base.module(module).weight
    assert isinstance(weight, Tensor)
    dtype = torch.promote_types(base.dtype, torch.float32)
    return tensor.to(weight.device, dtype, copy=True).requires_grad_()


def _value(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", torch.float32, copy=True)


def _ends_with(name: str, end: str) -> bool:
    return name == end or name.endswith(f".{end}")


def _by_pattern(module: str, patterns: Mapping[str, float], default: float) -> float:
    """Return the value of the first pattern that matches the end of a name, as PEFT does."""
    for pattern, value in patterns.items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return default


def _seed_of(seed: int | str, name: str) -> int:
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1  # torch wants 63 bits
