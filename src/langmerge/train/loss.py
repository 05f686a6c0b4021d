"""The loss on completions, with logits only where a token is supervised, a chunk at a time."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from langmerge.model import BaseModel

# Logits in memory at once. A vocabulary of 262,144 makes 128 positions of it: 128 MiB in fp32.
_CHUNK_LOGITS = 1 << 25


def backward_through_head(base: BaseModel, hidden: Tensor, targets: Tensor, weight: float) -> float:
    """Add the gradients of `weight * sum of cross-entropies` to every trainable parameter.

    The head runs forward and backward chunk by chunk; only the gradient of the hidden states
    outlives a chunk. Then the rest of the model runs backward once.

    Args:
        base: the model, with what is trained attached.
        hidden: `[supervised, hidden]`: the states from which `targets` are predicted.
        targets: `[supervised]`, int64.
        weight: one over the number of supervised tokens of the step makes the loss a mean.

    Returns:
        The loss, in nats times `weight`.
    """
    detached = hidden.detach().requires_grad_()
    size = max(1, _CHUNK_LOGITS // base.vocabulary_size)
    total = torch.zeros((), dtype=torch.float64, device=hidden.device)
    for states, wanted in zip(torch.split(detached, size), torch.split(targets, size), strict=True):
        loss = functional.cross_entropy(base.logits(states), wanted, reduction="sum") * weight
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.detach()
    hidden.backward(detached.grad)  # type: ignore[no-untyped-call]
    return float(total)
