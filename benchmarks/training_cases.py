"""Models and rows for `benchmarks/training.py`: random ones of real shapes, or real ones."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

LANGUAGES = ("en", "de", "fr", "ja", "zh")
TASKS = ("sentiment", "reasoning", "summarization")

SHAPES: Mapping[str, Mapping[str, Any]] = {
    "small": {
        "kind": "Llama",
        "hidden_size": 256,
        "intermediate_size": 704,
        "num_hidden_layers": 6,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "vocab_size": 16_384,
    },
    "270m": {
        "kind": "Gemma3",
        "hidden_size": 640,
        "intermediate_size": 2048,
        "num_hidden_layers": 18,
        "num_attention_heads": 4,
        "num_key_value_heads": 1,
        "head_dim": 256,
        "vocab_size": 262_144,
    },
    "8b": {
        "kind": "Llama",
        "hidden_size": 4096,
        "intermediate_size": 14_336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 128_256,
    },
}
"""Random weights take the same time as trained ones. 270m is Gemma 3 270M, 8b is Llama 3.1 8B."""

# About what Gemma's tokenizer makes of the packs' rows: tokens of a prompt, and of its completion.
_LENGTHS = {"sentiment": (32, 3), "reasoning": (28, 5), "summarization": (160, 24)}


def random_base(shape: str, device: str) -> Any:
    """Return a base of a shape with random weights, without a tokenizer."""
    import torch
    import transformers

    from langmerge.model import BaseModel

    sizes = dict(SHAPES[shape])
    kind = sizes.pop("kind")
    config_type = getattr(
        transformers, f"{kind}TextConfig" if kind == "Gemma3" else f"{kind}Config"
    )
    config = config_type(**sizes, max_position_embeddings=8192)
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    torch.manual_seed(0)
    with torch.device(device):
        torch.set_default_dtype(dtype)
        model = getattr(transformers, f"{kind}ForCausalLM")(config)
        torch.set_default_dtype(torch.float32)
    origin = SimpleNamespace(
        name=shape, location=shape, revision=None, identity=lambda: {"shape": shape}
    )
    return BaseModel(model.eval().requires_grad_(False), None, origin)  # type: ignore[arg-type]


def checkpoint_base(folder: Path, device: str) -> Any:
    """Return a base from a checkpoint or a GGUF file."""
    from langmerge.base import resolve_base
    from langmerge.cache import cache_folder
    from langmerge.model import load_base

    return load_base(resolve_base(str(folder), folder, cache_folder()), device)


def even_rows(tokens: int, count: int, vocabulary: int, seed: int) -> list[Any]:
    """Return random rows of `tokens` tokens, the last eighth to be learned."""
    from langmerge.encoding import Example

    rng = random.Random(seed)
    rows = []
    for _ in range(count):
        ids = tuple(rng.randrange(5, vocabulary) for _ in range(tokens + 1))
        cut = max(1, tokens - max(1, tokens // 8))
        rows.append(Example(ids[:cut], ids[cut:]))
    return rows


def task_rows(task: str, count: int, vocabulary: int, seed: int) -> list[Any]:
    """Return random rows of about a task's lengths, which vary by a factor of two and more."""
    from langmerge.encoding import Example

    rng = random.Random(f"{task}{seed}")
    rows = []
    for _ in range(count):
        scale = rng.lognormvariate(0, 0.4)
        prompt, completion = (max(1, round(length * scale)) for length in _LENGTHS[task])
        ids = tuple(rng.randrange(5, vocabulary) for _ in range(prompt + completion))
        rows.append(Example(ids[:prompt], ids[prompt:]))
    return rows


def real_rows(  # noqa: PLR0917
    base: Any, folder: Path, task: str, language: str, split: str, count: int
) -> list[Any]:
    """Return rows of a folder of packs, as a project with plain prompts trains on them."""
    from langmerge.encoding import Encoder

    encoder = Encoder(base.tokenizer, 1024)
    lines = (folder / task / language / f"{split}.jsonl").read_text("utf-8").splitlines()
    chosen = [json.loads(line) for line in lines[:count]]
    return [
        encoder.example(
            encoder.encode_prompt(prompt), encoder.encode_completion(f" {answer}", eos=True)
        )
        for prompt, answer in map(_text_of, chosen)
    ]


def _text_of(row: Mapping[str, Any]) -> tuple[str, str]:
    if "question" in row:
        return f"Question: {row['question']}\nAnswer:", row["choices"][row["answer"]]
    if "summary" in row:
        return f"{row['text']}\nSummary:", row["summary"]
    return f"{row['text']}\nLabel:", row["label"]


def makespan(seconds: Sequence[float], devices: int) -> float:
    """Return when the last of several jobs ends, each on one device, the longest begun first."""
    busy = [0.0] * devices
    for job in sorted(seconds, reverse=True):
        busy[busy.index(min(busy))] += job
    return max(busy)
