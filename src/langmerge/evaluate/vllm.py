"""vLLM as an engine for generated text: a checkpoint, with a LoRA adapter or without.

Prompts go in and answers come out as token ids, so that both are encoded, cut and decoded exactly
as with transformers. An answer that is to end at its first line is cut after generation, for a stop
string would also end it at a line break before any text.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from langmerge.adapter import Adapter
from langmerge.base import ResolvedBase
from langmerge.errors import AdapterError, BaseModelError, MissingExtraError
from langmerge.evaluate.generation import GeneratedText, finish
from langmerge.servers import VLLM_RANKS, vllm_rank


class VllmEngine:
    """A model in vLLM's hands.

    Args:
        base: the checkpoint; a GGUF file must have been converted.
        adapter: the folder of a PEFT adapter; None for the base alone.
        tokenizer: the base's.
        dtype: of the weights.
        max_length: the most tokens of a prompt and its answer.

    Raises:
        MissingExtraError: if vLLM is not installed.
        AdapterError: if the adapter's rank is more than vLLM takes.
        BaseModelError: if vLLM cannot load the model.
    """

    def __init__(
        self, base: ResolvedBase, adapter: Path | None, tokenizer: Any, dtype: str, max_length: int
    ) -> None:
        try:
            from vllm import LLM
            from vllm.lora.request import LoRARequest
        except ImportError as error:
            raise MissingExtraError("vllm", "vllm", "--engine vllm") from error
        self._tokenizer = tokenizer
        self._request = None if adapter is None else LoRARequest("adapter", 1, str(adapter))
        lora = {} if adapter is None else {"enable_lora": True, "max_lora_rank": _rank(adapter)}
        try:
            self._llm = LLM(
                model=str(base.checkpoint or base.location),
                revision=base.revision,
                dtype="bfloat16" if dtype == "auto" else dtype,
                max_model_len=max_length,
                # The checkpoint's own settings, such as a penalty of repetitions, do not count.
                generation_config="vllm",
                seed=0,
                **lora,
            )
        except (ValueError, OSError, RuntimeError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise BaseModelError(
                f"{base.name}: vLLM cannot load it ({reason}); leave out --engine vllm"
            ) from error

    def log_likelihoods(
        self, prompts: Sequence[Sequence[int]], choices: Sequence[Sequence[Sequence[int]]]
    ) -> list[list[float]]:
        """Raise: candidates are scored by transformers."""
        raise NotImplementedError("vLLM generates text here; candidates need transformers")

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        max_new_tokens: int,
        *,
        stop_ids: Collection[int],
        stop_at_newline: bool,
    ) -> list[GeneratedText]:
        """Continue every prompt greedily; see `langmerge.evaluate.generation.generate`."""
        from vllm import SamplingParams, TokensPrompt

        sampling = SamplingParams(
            temperature=0.0,
            max_tokens=max_new_tokens,
            stop_token_ids=sorted(stop_ids),
            # Those are all: of the checkpoint's own list nothing is added.
            ignore_eos=True,
            detokenize=False,
        )
        outputs = self._llm.generate(
            [TokensPrompt(prompt_token_ids=list(prompt)) for prompt in prompts],
            sampling,
            lora_request=self._request,
            use_tqdm=False,
        )
        return [self._text(output.outputs[0], stop_ids, stop_at_newline) for output in outputs]

    def _text(self, output: Any, stop_ids: Collection[int], stop_at_newline: bool) -> GeneratedText:
        text = finish(self._tokenizer, list(output.token_ids), stop_ids, stop_at_newline)
        return replace(text, truncated=text.truncated and output.finish_reason == "length")


def _rank(folder: Path) -> int:
    adapter = Adapter.load(folder)
    fitting = vllm_rank(adapter)
    if fitting is None:
        largest = max(shape.rank for shape in adapter.shapes.values())
        raise AdapterError(
            f"{folder}: rank {largest}, vLLM takes at most {VLLM_RANKS[-1]}; merge with a smaller "
            "--rank, or into a full checkpoint with `langmerge merge --into-model`"
        )
    return fitting
