"""Engines answer alike.

vLLM needs a GPU and is not installed here: a stand-in with the parts of its interface that are
used, as vLLM 0.33 documents them, computes with transformers and PEFT.
"""

import json
import sys
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace

import pytest
import torch
from projects import rows, write_rows
from typer.testing import CliRunner

from langmerge.adapter import Adapter, LoraFactors
from langmerge.cli import app
from langmerge.errors import AdapterError, BaseModelError, MissingExtraError, UserError
from langmerge.evaluate.engines import TransformersEngine
from langmerge.model import folded

PROMPTS = [[1, 40, 50, 60], [1, 70], [1, 80, 90, 100, 110, 120, 130], [1, 33]]


@dataclass(frozen=True)
class SamplingParams:
    """Keyword names and defaults as vLLM's."""

    temperature: float = 1.0
    max_tokens: int | None = 16
    stop_token_ids: list[int] | None = None
    ignore_eos: bool = False
    detokenize: bool = True
    repetition_penalty: float = 1.0


@dataclass(frozen=True)
class LoRARequest:
    lora_name: str
    lora_int_id: int
    lora_path: str = ""


class LLM:
    """Greedy generation, a prompt at a time; what it was opened with is kept."""

    opened: list["LLM"] = []  # noqa: RUF012 - the test's own record

    def __init__(
        self,
        model,
        *,
        tokenizer=None,
        revision=None,
        dtype="auto",
        seed=0,
        max_model_len=None,
        generation_config="auto",
        enable_lora=False,
        max_lora_rank=16,
    ):
        from transformers import AutoModelForCausalLM

        if not enable_lora and max_lora_rank != 16:
            raise ValueError("max_lora_rank without enable_lora")
        self.model = AutoModelForCausalLM.from_pretrained(model, dtype=getattr(torch, dtype))
        self.eos = set()
        if generation_config == "auto":
            own = self.model.generation_config.eos_token_id
            self.eos = {own} if isinstance(own, int) else set(own or ())
        self.arguments = {
            "max_model_len": max_model_len,
            "max_lora_rank": max_lora_rank,
            "enable_lora": enable_lora,
        }
        LLM.opened.append(self)

    def generate(self, prompts, sampling_params=None, *, use_tqdm=True, lora_request=None):
        model = self.model
        if lora_request is not None:
            from peft import PeftModel

            assert self.arguments["enable_lora"]
            model = PeftModel.from_pretrained(self.model, lora_request.lora_path)
        try:
            return [self._one(model, prompt, sampling_params) for prompt in prompts]
        finally:
            if lora_request is not None:
                self.model = model.unload()

    def _one(self, model, prompt, sampling):
        assert sampling.temperature == 0
        ids = list(prompt["prompt_token_ids"])
        start, reason = len(ids), "length"
        stops = set(sampling.stop_token_ids or ()) | (set() if sampling.ignore_eos else self.eos)
        while len(ids) - start < sampling.max_tokens:
            assert len(ids) < self.arguments["max_model_len"]
            with torch.inference_mode():
                ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
            if ids[-1] in stops:
                reason = "stop"
                break
        text = None if not sampling.detokenize else "..."
        output = SimpleNamespace(token_ids=tuple(ids[start:]), finish_reason=reason, text=text)
        return SimpleNamespace(prompt_token_ids=prompt["prompt_token_ids"], outputs=[output])


@pytest.fixture
def vllm(monkeypatch):
    module, lora, request = (ModuleType(n) for n in ("vllm", "vllm.lora", "vllm.lora.request"))
    module.LLM, module.SamplingParams, module.TokensPrompt = LLM, SamplingParams, dict
    request.LoRARequest = LoRARequest
    for each in (module, lora, request):
        monkeypatch.setitem(sys.modules, each.__name__, each)
    monkeypatch.setattr(LLM, "opened", [])
    return module


@pytest.fixture
def adapter(tmp_path, tiny_base_folder):
    """Of two ranks, so that its file has a rank and an alpha pattern."""
    draw = torch.Generator().manual_seed(0)
    factors = {
        f"model.layers.{layer}.mlp.down_proj": LoraFactors(
            torch.randn(rank, 128, generator=draw), torch.randn(64, rank, generator=draw), 0.7
        )
        for layer, rank in ((0, 2), (1, 9))
    }
    Adapter.from_factors(factors, base_model=str(tiny_base_folder)).save(tmp_path / "adapter")
    return tmp_path / "adapter"


def of_vllm(base, adapter=None, max_length=64):
    from langmerge.evaluate.vllm import VllmEngine

    return VllmEngine(base.resolved, adapter, base.tokenizer, "float32", max_length)


@pytest.mark.parametrize("stop_at_newline", [False, True])
def test_vllm_writes_what_transformers_writes(vllm, tiny_base, stop_at_newline):
    for stop_ids in ({2}, {2, 40, 41, 42, 43, 44, 100, 101, 150, 151}):
        arguments = {"stop_ids": stop_ids, "stop_at_newline": stop_at_newline}
        ours = TransformersEngine(tiny_base, 100).generate(PROMPTS, 12, **arguments)
        theirs = of_vllm(tiny_base).generate(PROMPTS, 12, **arguments)
        assert [text.text for text in theirs] == [text.text for text in ours]
        assert [text.truncated for text in theirs] == [text.truncated for text in ours]
    assert len({text.truncated for text in ours}) == 2


def test_vllm_with_an_adapter(vllm, tiny_base, adapter):
    arguments = {"stop_ids": {2}, "stop_at_newline": False}
    plain = TransformersEngine(tiny_base, 100).generate(PROMPTS, 8, **arguments)
    with folded(tiny_base, Adapter.load(adapter)):
        ours = TransformersEngine(tiny_base, 100).generate(PROMPTS, 8, **arguments)
    theirs = of_vllm(tiny_base, adapter).generate(PROMPTS, 8, **arguments)
    assert theirs == ours != plain
    assert LLM.opened[0].arguments["max_lora_rank"] == 16


def test_a_rank_beyond_vllms(vllm, tiny_base, tmp_path):
    factors = {
        "model.layers.0.mlp.down_proj": LoraFactors(torch.ones(513, 128), torch.ones(64, 513))
    }
    Adapter.from_factors(factors).save(tmp_path / "large")
    with pytest.raises(AdapterError, match="rank 513, vLLM takes at most 512"):
        of_vllm(tiny_base, tmp_path / "large")


def test_a_model_vllm_does_not_load(vllm, tiny_base, monkeypatch):
    def refuse(*_, **__):
        raise ValueError("Model architectures ['X'] are not supported\nlong text")

    monkeypatch.setattr(vllm, "LLM", refuse)
    with pytest.raises(BaseModelError, match=r"are not supported\); leave out --engine vllm"):
        of_vllm(tiny_base)


def evaluate(*arguments):
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("LANGMERGE_CACHE", str(tmp_path / "cache"))
    write_rows(tmp_path / "de.jsonl", rows("generation", "de", "test", 3))
    return tmp_path / "de.jsonl"


def test_by_the_verb_and_never_from_the_others_cache(vllm, adapter, data):
    common = (adapter, "--task", "generation", "--data", data, "--language", "de", "--json")
    common = (*common, "--set", "max_new_tokens=5", "--dtype", "float32")
    ours, theirs = evaluate(*common), evaluate(*common, "--engine", "vllm")
    assert ours.exit_code == theirs.exit_code == 0, theirs.output
    ours, theirs = (json.loads(result.stdout) for result in (ours, theirs))
    assert theirs["model"]["engine"] == "vllm"
    assert not theirs["languages"][0]["cached"]
    assert theirs["languages"][0]["metrics"] == ours["languages"][0]["metrics"]
    assert LLM.opened[0].arguments["max_model_len"] == 512 + 5


def test_vllm_does_not_score_candidates(tiny_base_folder, data):
    questions = data.with_name("questions.jsonl")
    write_rows(questions, rows("multiple_choice", "de", "test", 3))
    result = evaluate(
        *(tiny_base_folder, "--task", "multiple_choice", "--engine", "vllm", "--data", questions)
    )
    assert isinstance(result.exception, UserError)
    assert "scores candidates" in str(result.exception)


def test_without_vllm(tiny_base, monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'langmerge\[vllm\]'"):
        of_vllm(tiny_base)
