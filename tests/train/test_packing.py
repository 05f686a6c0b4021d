"""Packed rows see nothing of each other, whatever the architecture."""

import random
import sys
from types import SimpleNamespace

import pytest
import torch
import transformers

from langmerge.encoding import Example
from langmerge.model import BaseModel
from langmerge.train import packing as packing_module
from langmerge.train.batches import collate
from langmerge.train.packing import Packing, packed, packed_attention, packing_kernel

SIZES = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
KINDS = ["sliding_attention", "sliding_attention", "full_attention"]
FAMILIES = {
    "Llama": {},
    "Mistral": {"sliding_window": 6},
    "Qwen2": {"use_sliding_window": True, "sliding_window": 6, "max_window_layers": 1},
    "Qwen3": {"head_dim": 8},
    "Phi": {},
    "Phi3": {"sliding_window": 6},
    "Gemma": {"head_dim": 8},
    "Gemma3": {"head_dim": 8, "sliding_window": 6, "layer_types": KINDS},
    "Olmo2": {},
    "Granite": {},
    "Cohere2": {"sliding_window": 6, "layer_types": KINDS},
}


def base_of(family):
    name = f"{family}Text" if family == "Gemma3" else family
    config = getattr(transformers, f"{name}Config")(**SIZES, **FAMILIES.get(family, {}))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = getattr(transformers, f"{family}ForCausalLM")(config)
    return BaseModel(model.eval().requires_grad_(False), None, None)


def some_rows(lengths, seed=0):
    rng = random.Random(seed)
    return [tuple(rng.randrange(3, 97) for _ in range(length + 1)) for length in lengths]


def states(base, rows):
    batch = collate([Example((), row) for row in rows], packed=True)
    kernel = packing_kernel(base)
    with packed_attention(base, kernel), packed(Packing.of(batch.lengths, base.device, kernel)):
        hidden = base.hidden_states(batch.input_ids, position_ids=batch.position_ids)
    return torch.split(hidden[0], list(batch.lengths))


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_a_row_is_computed_as_if_alone(family):
    base = base_of(family)
    before = base.model.config._attn_implementation
    rows = some_rows([3, 20, 1, 11, 9])  # some longer than the window, and buckets of each kind
    assert packing_kernel(base) == "sdpa"
    found = states(base, rows)
    changed = states(base, [rows[0], *some_rows([20, 1, 11, 9], seed=1)])
    torch.testing.assert_close(changed[0], found[0], atol=1e-6, rtol=1e-6)
    assert base.model.config._attn_implementation == before
    for row, of in zip(rows, found, strict=True):
        alone = base.hidden_states(torch.tensor([row[:-1]]))[0]
        torch.testing.assert_close(of, alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", ["Gemma2", "Cohere", "GPTNeoX", "Bloom"])
def test_where_rows_cannot_be_packed_it_is_known(family, monkeypatch):
    if family == "Cohere":  # can be, but let its attention be one that looks at the mask
        monkeypatch.setattr(
            packing_module,
            "_by_sdpa",
            lambda packing, states, *_: torch.nn.functional.scaled_dot_product_attention(
                *(of.transpose(0, 1) for of in states), is_causal=True, enable_gqa=True
            ).transpose(0, 1),
        )
    base = base_of(family)
    kernel = packing_kernel(base)
    if family in ("Gemma2", "Cohere", "Bloom"):
        assert kernel is None
    if kernel is not None:
        test_a_row_is_computed_as_if_alone.__wrapped__(family)


def test_a_packing_by_hand():
    packing = Packing.of([2, 5, 3], torch.device("cpu"))
    long, short = packing.buckets
    assert (long.rows, long.length, short.rows, short.length) == (2, 5, 1, 2)
    assert long.take.tolist() == [2, 3, 4, 5, 6, 7, 8, 9, 9, 9]
    assert short.take.tolist() == [0, 1]
    assert packing.put.tolist() == [10, 11, 0, 1, 2, 3, 4, 5, 6, 7]
    assert packing.bounds.tolist() == [0, 2, 7, 10]


@pytest.mark.parametrize("seed", range(5))
def test_a_packing_takes_every_token_once_and_pads_less_than_half(seed):
    rng = random.Random(seed)
    lengths = [rng.choice([1, 2, 3, 17, 64, 300]) for _ in range(20)]
    packing = Packing.of(lengths, torch.device("cpu"))
    placed = torch.cat([bucket.take for bucket in packing.buckets])
    assert torch.equal(placed[packing.put], torch.arange(sum(lengths)))
    assert len(placed) < 2 * sum(lengths)


def flash_attn(backward):
    """A stand-in for flash-attn: its call, computed row by row."""

    def attend(q, k, v, starts, _starts, longest, _longest, softmax_scale, causal, window_size):
        assert causal
        lengths = starts.diff().tolist()
        assert longest == max(lengths)
        window = None if window_size[0] < 0 else window_size[0] + 1
        found = packing_module._by_sdpa(
            Packing.of(lengths, q.device), (q, k, v), 0.0, softmax_scale, window
        )
        if found.requires_grad and not backward:
            found.register_hook(lambda _grad: 1 / 0)
        return found

    return SimpleNamespace(flash_attn_varlen_func=attend)


@pytest.mark.parametrize("name", ["flash_attn", "flash_attn_interface"])
@pytest.mark.parametrize(("backward", "kernel"), [(True, "flash"), (False, "sdpa")])
def test_flash_attn_packs_where_it_works_in_both_directions(monkeypatch, name, backward, kernel):
    monkeypatch.setitem(sys.modules, name, flash_attn(backward))
    monkeypatch.setattr(packing_module, "_kernels", lambda _base: ("varlen", "flash", "sdpa"))
    base = base_of("Gemma3")
    assert packing_kernel(base) == kernel
    assert not base.model.get_input_embeddings()._forward_hooks
