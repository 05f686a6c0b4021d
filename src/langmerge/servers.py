"""What vLLM and llama.cpp make of an adapter's files, told before they are served."""

from __future__ import annotations

from collections.abc import Iterator

from langmerge.adapter import Adapter

VLLM_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM's `max_lora_rank` may be."""


def vllm_rank(adapter: Adapter) -> int | None:
    """Return the `--max-lora-rank` an adapter needs; None if it is more than vLLM takes."""
    largest = max(shape.rank for shape in adapter.shapes.values())
    return next((rank for rank in VLLM_RANKS if rank >= largest), None)


def limits(adapter: Adapter) -> Iterator[str]:
    """Yield what servers will not take, or read in another way, one line each."""
    largest = max(shape.rank for shape in adapter.shapes.values())
    if vllm_rank(adapter) is None:
        yield (
            f"rank {largest}: vLLM takes adapters up to {VLLM_RANKS[-1]}; give the recipe a rank:, "
            "or write a full model with --checkpoint"
        )
    if adapter.embeddings:
        yield (
            f"'{min(adapter.embeddings)}' is an embedding: vLLM reads such factors only of models "
            "that say so, llama.cpp not at all; write a full model with --checkpoint"
        )
    if adapter.config.get("fan_in_fan_out"):
        yield (
            "the base stores its weights transposed (GPT-2): vLLM serves no adapters of it; write "
            "a full model with --checkpoint"
        )
    if adapter.extras:
        yield (
            f"'{next(iter(adapter.extras))}' is no LoRA factor: vLLM refuses it; train without "
            "modules_to_save"
        )
