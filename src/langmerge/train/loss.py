"""The loss on completions, with logits only where a token is supervised, a chunk at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from langmerge.model import BaseModel
from langmerge.train.acting import Acting, Layout

# Logits in memory at once. A vocabulary of 262,144 makes 128 positions of it: 128 MiB in fp32.
_CHUNK_LOGITS = 1 << 25


def backward_through_head(
    base: BaseModel,
    hidden: Tensor,
    targets: Tensor,
    *,
    acting: Acting,
    counts: Sequence[int],
    weights: Sequence[float],
) -> Tensor:
    """Add the gradients of `weight * sum of cross-entropies` to every adapter's parameters.

    The head runs forward and backward chunk by chunk; only the gradient of the hidden states
    outlives a chunk. Then the rest of the model runs backward once.

    Args:
        base: the model.
        hidden: `[supervised, hidden]`: the states from which `targets` are predicted; those of an
            adapter stand together.
        targets: `[supervised]`, int64.
        acting: the adapters, attached to the base, with the layout of the pass.
        counts: how many of the targets each adapter of the layout has.
        weights: of each adapter; one over the number of supervised tokens of its step makes its
            loss a mean.

    Returns:
        The loss of each adapter, in nats times its weight, fp64, on the base's device.
    """
    detached = hidden.detach().requires_grad_()
    size = max(1, _CHUNK_LOGITS // base.vocabulary_size)
    shares = torch.tensor(weights, dtype=torch.float64).repeat_interleave(torch.tensor(counts))
    shares = shares.to(hidden.device)
    losses = torch.empty(len(targets), dtype=torch.float64, device=hidden.device)
    for chunk, layout in _chunks(base, acting, counts, size):
        with acting.during(layout):
            logits = base.logits(detached[chunk])
            wanted = targets[chunk].to(logits.device)  # a base may be on several devices
            loss = functional.cross_entropy(logits, wanted, reduction="none")
            weighted = loss * shares[chunk].to(loss)
            weighted.sum().backward()  # type: ignore[no-untyped-call]
        losses[chunk] = weighted.detach().to(losses)
    if hidden.requires_grad:  # Not where the head alone is trained.
        hidden.backward(detached.grad)  # type: ignore[no-untyped-call]
    return torch.stack([part.sum() for part in torch.split(losses, list(counts))])


def summed_loss(base: BaseModel, hidden: Tensor, targets: Tensor) -> float:
    """Return the sum of the cross-entropies, in nats; the arguments as above, without gradients."""
    size = max(1, _CHUNK_LOGITS // base.vocabulary_size)
    total = 0.0
    for states, wanted in zip(torch.split(hidden, size), torch.split(targets, size), strict=True):
        logits = base.logits(states)
        total += float(functional.cross_entropy(logits, wanted.to(logits.device), reduction="sum"))
    return total


def _chunks(
    base: BaseModel, acting: Acting, counts: Sequence[int], size: int
) -> Iterator[tuple[slice, Layout]]:
    """Yield stretches of the targets; where the head is adapted, each of one adapter."""
    head = base.model.get_output_embeddings()
    whole = acting.layout
    if not head._forward_hooks:
        yield from ((slice(at, at + size), whole) for at in range(0, sum(counts), size))
        return
    first = 0
    for index, count in enumerate(counts):
        for at in range(0, count, size):
            length = min(size, count - at)
            seeds = (whole.seeds[index] ^ (at + 1),) if whole.seeds else ()
            yield (
                slice(first + at, first + at + length),
                Layout((whole.members[index],), (length,), seeds),
            )
        first += count
