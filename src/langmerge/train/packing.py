"""Rows packed into one sequence without padding, each attending to itself alone.

The layers that work token by token see one long sequence. Attention takes the rows apart again:
rows of like length are padded to their longest and attend causally, or, on a GPU where torch has a
kernel for sequences of any lengths, are left as they are. So a row cannot see another one, whatever
the mask, and attention costs the square of each row, not that of their sum.

transformers calls this function through its `AttentionInterface`. A base that goes another way, or
computes something else with it, is found out by a trial, and gets padded batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, scaled_dot_product_attention
from transformers import AttentionInterface

from langmerge.model import BaseModel
from langmerge.quiet import quiet_transformers
from langmerge.train.compiling import uncompiled

Kernel = Literal["sdpa", "varlen", "flash"]

_NAME = "langmerge_packed"
_TRIAL = ((5, 3, 9, 4, 8), (7, 2), (6, 5, 4, 3, 2, 9, 8))


@dataclass(frozen=True)
class _Bucket:
    """Rows that attention takes at once: `rows` of them, padded to `length`.

    `take` has, for each place `[rows * length]`, the token that stands there; padding repeats the
    row's last token, so that nothing of another row comes near.
    """

    take: Tensor
    rows: int
    length: int


@dataclass(frozen=True)
class Packing:
    """Where the rows of a packed sequence are.

    Attributes:
        lengths: of the rows.
        buckets: the rows as attention takes them.
        put: `[tokens]`: where in the buckets' places, one bucket after the other, each token is.
        bounds: `[rows + 1]`, int32: where each row begins, and the end.
        kernel: what computes attention.
        windows: takes note of the window that each layer asks for; None where nobody wants it.
    """

    lengths: tuple[int, ...]
    buckets: tuple[_Bucket, ...]
    put: Tensor
    bounds: Tensor
    kernel: Kernel
    windows: list[int | None] | None = None

    @classmethod
    def of(cls, lengths: Sequence[int], device: torch.device, kernel: Kernel = "sdpa") -> Packing:
        """Return the packing of rows of these lengths; a bucket's are within a factor of two."""
        starts = [0, *accumulate(lengths)]
        order = sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))
        buckets: list[_Bucket] = []
        put = torch.empty(starts[-1], dtype=torch.int64)
        places = first = 0
        while first < len(order):
            length = lengths[order[first]]
            rows = [row for row in order[first:] if 2 * lengths[row] > length]
            first += len(rows)
            rows.sort()  # in the order of the sequence, memory is read in one direction
            take = torch.arange(length).repeat(len(rows), 1)
            for index, row in enumerate(rows):
                take[index].clamp_(max=lengths[row] - 1).add_(starts[row])
                at = places + index * length
                put[starts[row] : starts[row + 1]] = torch.arange(at, at + lengths[row])
            places += length * len(rows)
            buckets.append(_Bucket(take.flatten().to(device), len(rows), length))
        bounds = torch.tensor(starts, dtype=torch.int32)
        return cls(tuple(lengths), tuple(buckets), put.to(device), bounds.to(device), kernel)


# Read inside the attention of every layer, also when activation checkpointing runs it again on one
# of autograd's threads: a context variable would not be set there.
_current: list[Packing] = []


@contextmanager
def packed(packing: Packing | None) -> Iterator[None]:
    """Let packed attention see this packing inside the block, forward and backward."""
    if packing is None:
        yield
        return
    _current.append(packing)
    try:
        yield
    finally:
        _current.pop()


@contextmanager
def packed_attention(base: BaseModel, kernel: Kernel | None) -> Iterator[None]:
    """Let the base attend by packing inside the block; with None it stays as it is."""
    if kernel is None:
        yield
        return
    before = base.model.config._attn_implementation
    try:
        with quiet_transformers():
            base.model.set_attn_implementation(_NAME)
        yield
    finally:
        with quiet_transformers():
            base.model.set_attn_implementation(before)


def packing_kernel(base: BaseModel) -> Kernel | None:
    """Return what packs rows on this base, the fastest that works; None if it cannot be packed.

    A few short rows are put through the model packed and padded: the results must agree, and every
    layer must have asked for attention here, those with a window for a window. A kernel for any
    lengths may compute forward only: it must have gone backward as well.
    """
    with torch.inference_mode():
        expected = _trial_padded(base)
    for kernel in _kernels(base):
        try:
            found, windows = _trial_packed(base, kernel, backward=kernel != "sdpa")
        except Exception:  # noqa: S112 - whatever an architecture raises, it is not packed
            continue
        within = (0.02 if base.dtype == torch.bfloat16 else 1e-3) * float(expected.abs().max())
        agree = torch.allclose(found, expected, rtol=0, atol=within)
        if agree and windows == _windows_of(base):
            return kernel
    return None


def _kernels(base: BaseModel) -> Sequence[Kernel]:
    """Return the kernels to try, the fastest first: torch's own, flash-attn's, and rows apart."""
    return ("varlen", "flash", "sdpa") if base.device.type == "cuda" else ("sdpa",)


def _trial_padded(base: BaseModel) -> Tensor:
    width = max(map(len, _TRIAL))
    ids = torch.stack([pad(torch.tensor(row), (0, width - len(row))) for row in _TRIAL])
    hidden = base.hidden_states(ids.to(base.device))
    return torch.cat([of[: len(row)] for of, row in zip(hidden, _TRIAL, strict=True)]).float()


def _trial_packed(base: BaseModel, kernel: Kernel, *, backward: bool) -> tuple[Tensor, list[bool]]:
    lengths = [len(row) for row in _TRIAL]
    ids = torch.tensor([token for row in _TRIAL for token in row], device=base.device)
    places = torch.cat([torch.arange(length) for length in lengths]).to(base.device)
    windows: list[int | None] = []
    packing = replace(Packing.of(lengths, base.device, kernel), windows=windows)
    embed = base.model.get_input_embeddings()
    # Nothing of a frozen base asks for gradients: its inputs do, as if an adapter came first.
    hook = embed.register_forward_hook(lambda _module, _inputs, states: states.requires_grad_())
    try:
        with (
            torch.set_grad_enabled(backward),
            packed_attention(base, kernel),
            packed(packing),
        ):
            hidden = base.hidden_states(ids[None], position_ids=places[None])
            if backward:
                hidden.sum().backward()  # type: ignore[no-untyped-call]
    finally:
        hook.remove()
    return hidden[0].detach().float(), [window is not None for window in windows]


def _windows_of(base: BaseModel) -> list[bool]:
    """Return whether each layer attends to a window; nothing if one attends in another way."""
    config = base.model.config.get_text_config()
    kinds = getattr(config, "layer_types", None)
    if kinds is None:
        has_window = getattr(config, "sliding_window", None) is not None
        return [has_window] * int(config.num_hidden_layers)
    if set(kinds) - {"full_attention", "sliding_attention"}:
        return []
    return [kind == "sliding_attention" for kind in kinds]


@uncompiled
def _attend(  # noqa: PLR0917 - as transformers calls it
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_options: Any,
) -> tuple[Tensor, None]:
    """Attend row by row; `query` is `[1, heads, tokens, size]`, and so are `key` and `value`.

    Returns:
        `[1, tokens, heads, size]`.
    """
    if softcap is not None:
        raise NotImplementedError("packed attention knows no softcap")
    packing = _current[-1]
    if packing.windows is not None:
        packing.windows.append(sliding_window)
    states = [states[0].transpose(0, 1) for states in (query, key, value)]
    attend = {"sdpa": _by_sdpa, "varlen": _by_varlen, "flash": _by_flash}[packing.kernel]
    return attend(packing, states, dropout, scaling, sliding_window)[None], None


def _by_sdpa(
    packing: Packing,
    states: Sequence[Tensor],
    dropout: float,
    scale: float | None,
    window: int | None,
) -> Tensor:
    device = states[0].device
    out = []
    for bucket in packing.buckets:
        take = bucket.take.to(device)
        q, k, v = (
            of.index_select(0, take).view(bucket.rows, bucket.length, *of.shape[1:]).transpose(1, 2)
            for of in states
        )
        mask = None
        if window is not None and bucket.length > window:
            places = torch.arange(bucket.length, device=device)
            behind = places[:, None] - places
            mask = (behind >= 0) & (behind < window)
        found = scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=mask,
            dropout_p=dropout,
            is_causal=mask is None,
            scale=scale,
            enable_gqa=bool(q.shape[1] != k.shape[1]),
        )
        out.append(found.transpose(1, 2).flatten(0, 1))
    return torch.cat(out).index_select(0, packing.put.to(device))


def _by_varlen(
    packing: Packing,
    states: Sequence[Tensor],
    dropout: float,
    scale: float | None,
    window: int | None,
) -> Tensor:
    if dropout:
        raise NotImplementedError("attention to sequences of any lengths drops nothing")
    from torch.nn.attention.varlen import varlen_attn

    q, k, v = states
    bounds, longest = packing.bounds.to(q.device), max(packing.lengths)
    found = varlen_attn(
        q,
        k,
        v,
        bounds,
        bounds,
        longest,
        longest,
        scale=scale,
        window_size=(-1 if window is None else window - 1, 0),
        enable_gqa=q.shape[1] != k.shape[1],
    )
    assert isinstance(found, Tensor)
    return found


def _by_flash(
    packing: Packing,
    states: Sequence[Tensor],
    dropout: float,
    scale: float | None,
    window: int | None,
) -> Tensor:
    """Attend by flash-attn's kernel for any lengths: of its version 3 if installed, else of 2."""
    if dropout:
        raise NotImplementedError("attention to sequences of any lengths drops nothing")
    try:
        from flash_attn_interface import flash_attn_varlen_func
    except ImportError:
        from flash_attn import flash_attn_varlen_func

    bounds, longest = packing.bounds.to(states[0].device), max(packing.lengths)
    found = flash_attn_varlen_func(
        *states,
        bounds,
        bounds,
        longest,
        longest,
        softmax_scale=scale,
        causal=True,
        window_size=(-1 if window is None else window - 1, 0),
    )
    if isinstance(found, tuple):  # version 3 returns the sums of the softmax as well
        found = found[0]
    assert isinstance(found, Tensor)
    return found


AttentionInterface.register(_NAME, _attend)
