"""What adapters carry beside LoRA factors: kept where all agree, refused otherwise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from langmerge.adapter import Adapter
from langmerge.errors import MergeError


def merge_extras(adapters: Sequence[Adapter]) -> dict[str, Tensor]:
    """Return the tensors that are no LoRA factors, if every adapter has the same.

    Any merge of equal values is that value; what differs is a change of the base that LoRA
    factors do not express.

    Raises:
        MergeError: naming the first tensor that differs.
    """
    names = sorted({name for adapter in adapters for name in adapter.extras})
    merged = {}
    for name in names:
        for adapter in adapters:
            if name not in adapter.extras:
                raise MergeError(_refusal(name, f"not in {adapter.source}"))
        merged[name] = adapters[0].extra_tensor(name)
        for adapter in adapters[1:]:
            other = adapter.extra_tensor(name)
            same = other.dtype == merged[name].dtype and torch.equal(other, merged[name])
            if not same:
                raise MergeError(
                    _refusal(name, f"different in {adapters[0].source} and {adapter.source}")
                )
    return merged


def _refusal(name: str, found: str) -> str:
    return (
        f"tensor '{name}' is no LoRA factor (modules_to_save, a bias or a trained token) and is "
        f"{found}; train the adapters without it, or with it frozen"
    )
