"""An adapter in the one form that every server reads the same: one rank, one scale.

PEFT reads a rank and an alpha of every module (`rank_pattern`, `alpha_pattern`), and so does vLLM
since 0.33. Earlier ones scale every module by the configuration's own `lora_alpha / r`
(`vllm/lora/peft_helper.py`), llama.cpp by `lora_alpha` over the rank of the module's tensors
(`llama_adapter_lora_weight::get_scale`), both silent about patterns. With equal ranks and scales
all of them agree.
"""

from __future__ import annotations

import torch
from torch import Tensor

from langmerge.adapter import Adapter, LoraFactors


def is_uniform(adapter: Adapter) -> bool:
    """Whether all modules have one rank and one scale, stated without patterns."""
    ranks = {shape.rank for shape in adapter.shapes.values()}
    scales = {adapter.scale(module) for module in adapter.modules}
    patterns = adapter.config.get("rank_pattern") or adapter.config.get("alpha_pattern")
    return len(ranks) == len(scales) == 1 and not patterns


def uniform(adapter: Adapter) -> Adapter:
    """Return an adapter of equal effect in which every module has the largest rank and scale 1.

    Scales go into B, rounded once to its dtype; A gets rows, and B columns, of zeros.

    Raises:
        AdapterError: if a value is not finite.
    """
    rank = max(shape.rank for shape in adapter.shapes.values())
    factors = {}
    for module in adapter.modules:
        found = adapter.factors(module)
        scaled = (found.b.float() * found.scale).to(found.b.dtype)
        factors[module] = LoraFactors(_padded(found.a, rank, 0), _padded(scaled, rank, 1))
    return Adapter.from_factors(
        factors,
        base_model=adapter.base_model,
        revision=adapter.revision,
        embeddings=adapter.embeddings,
        extras={name: adapter.extra_tensor(name) for name in adapter.extras},
        fan_in_fan_out=bool(adapter.config.get("fan_in_fan_out")),
        recipe=adapter.recipe,
    )


def _padded(tensor: Tensor, size: int, dimension: int) -> Tensor:
    shape = list(tensor.shape)
    shape[dimension] = size - shape[dimension]
    return torch.cat([tensor, tensor.new_zeros(shape)], dimension) if shape[dimension] else tensor
