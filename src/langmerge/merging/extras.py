"""What adapters carry beside LoRA factors: kept where all agree, refused otherwise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from langmerge.adapter import Adapter
from langmerge.errors import MergeError
from langmerge.merging.preflight import extra_refusal


def merge_extras(adapters: Sequence[Adapter]) -> dict[str, Tensor]:
    """Return the tensors that are no LoRA factors, if every adapter has the same.

    Any merge of equal values is that value; what differs is a change of the base that LoRA
    factors do not express. The adapters have passed `check_mergeable`.

    Raises:
        MergeError: naming the first tensor that differs.
    """
    merged = {}
    first = adapters[0]
    for name in first.extras:
        merged[name] = first.extra_tensor(name)
        for adapter in adapters[1:]:
            other = adapter.extra_tensor(name)
            same = other.dtype == merged[name].dtype and torch.equal(other, merged[name])
            if not same:
                found = f"different in {first.source} and {adapter.source}"
                raise MergeError(extra_refusal(name, found))
    return merged
