"""Tiny base models that every test may use: under 200,000 parameters, byte-level tokens.

Nothing here needs the network, and nothing imports torch before a test asks for a model.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Tiny matrices gain nothing from threads, and lose much where cores are shared.
os.environ.setdefault("OMP_NUM_THREADS", "1")

SPECIAL_TOKENS = ("<pad>", "<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>")
MERGES = (("Ġ", "t"), ("h", "e"), ("Ġt", "he"), ("i", "n"), ("e", "r"), ("Ġ", "g"), ("o", "d"))
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "<start_of_turn>{{ 'model' if message.role == 'assistant' else message.role }}\n"
    "{{ message.content | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)


def make_tokenizer(chat: bool = False):
    """Return a byte-level BPE tokenizer with a BOS token in front of every text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = [*SPECIAL_TOKENS, *alphabet, *(left + right for left, right in MERGES)]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=list(MERGES)))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", vocabulary["<bos>"])]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        additional_special_tokens=["<start_of_turn>", "<end_of_turn>"],
    )
    if chat:
        tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


FAMILIES = {
    "llama": ("Llama", {}),
    "qwen2": ("Qwen2", {}),
    "qwen3": ("Qwen3", {"head_dim": 16}),
    "mistral": ("Mistral", {"sliding_window": None}),
    "phi": ("Phi", {}),
    "phi3": ("Phi3", {}),
    "mixtral": ("Mixtral", {"num_local_experts": 4}),
    "qwen3_moe": (
        "Qwen3Moe",
        {"head_dim": 16, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32},
    ),
}
"""Families whose configurations share the names of Llama's: transformers' name, and what is own."""


def make_model(family: str, vocabulary_size: int):
    """Return a randomly initialized model of a family, the same one every time."""
    import torch
    import transformers

    sizes = {
        "vocab_size": vocabulary_size,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "initializer_range": 0.1,  # of 0.02, so small a head could not tell tokens apart
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    if family == "gemma3":
        kinds = ["sliding_attention", "full_attention"]
        config = transformers.Gemma3TextConfig(
            **sizes, head_dim=16, sliding_window=24, layer_types=kinds
        )
        kind = transformers.Gemma3ForCausalLM
    elif family == "gpt2":
        names = ("vocab_size", "initializer_range", "bos_token_id", "eos_token_id")
        config = transformers.GPT2Config(
            n_embd=64, n_layer=2, n_head=4, n_positions=512, **{name: sizes[name] for name in names}
        )
        kind = transformers.GPT2LMHeadModel
    else:
        name, more = FAMILIES[family]
        config = getattr(transformers, f"{name}Config")(**sizes, **more)
        kind = getattr(transformers, f"{name}ForCausalLM")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return kind(config).eval()


def save_tiny_base(folder: Path, family: str = "llama", chat: bool = False) -> Path:
    """Write a tiny model and its tokenizer as a checkpoint."""
    tokenizer = make_tokenizer(chat)
    # One row to spare: transformers' own tokenizer classes may add an end-of-text token.
    make_model(family, len(tokenizer) + 1).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def tiny_tokenizer() -> Callable[..., object]:
    """A function (chat=False) -> a new tokenizer, to be changed at will."""
    return make_tokenizer


@pytest.fixture(scope="session")
def tiny_base_folders(tmp_path_factory) -> Callable[..., Path]:
    """A function (family="llama", chat=False) -> folder of a tiny base; made once each.

    Families: those of `FAMILIES`, gemma3 (sliding window of 24, tied head), gpt2 (transposed
    weights, tied head).
    """
    root = tmp_path_factory.mktemp("bases")

    def folder_of(family: str = "llama", chat: bool = False) -> Path:
        folder = root / (f"{family}-chat" if chat else family)
        return folder if folder.exists() else save_tiny_base(folder, family, chat)

    return folder_of


@pytest.fixture(scope="session")
def tiny_base_folder(tiny_base_folders) -> Path:
    """The folder of a tiny Llama-like base without a chat template."""
    return tiny_base_folders()


@pytest.fixture(scope="session")
def tiny_chat_base_folder(tiny_base_folders) -> Path:
    """The same with a chat template like Gemma's."""
    return tiny_base_folders(chat=True)


@pytest.fixture(scope="session")
def tiny_bases(tiny_base_folders, tmp_path_factory) -> Callable[..., object]:
    """A function (family="llama", chat=False) -> a loaded tiny `BaseModel`; loaded once each."""
    from langmerge.base import resolve_base
    from langmerge.model import load_base

    loaded = {}
    cache = tmp_path_factory.mktemp("cache")

    def base_of(family: str = "llama", chat: bool = False):
        if (family, chat) not in loaded:
            folder = tiny_base_folders(family, chat)
            loaded[family, chat] = load_base(resolve_base(str(folder), folder, cache), "cpu")
        return loaded[family, chat]

    return base_of


@pytest.fixture(scope="session")
def tiny_base(tiny_bases):
    """A loaded tiny Llama-like base; leave it as it was."""
    return tiny_bases()
