"""Every architecture through the chain: trained, folded, merged, scored, written, read again."""

import json
from pathlib import Path

import pytest
import torch
from projects import make_project
from typer.testing import CliRunner

from langmerge.adapter import Adapter
from langmerge.base import resolve_base
from langmerge.cli import app
from langmerge.cli.run import run_project
from langmerge.encoding import Encoder
from langmerge.errors import AdapterError
from langmerge.model import load_skeleton
from langmerge.train.lora import target_modules
from langmerge.workspace import open_workspace

# By family: how many modules `all-linear` adapts in two layers.
MODULES = {
    "llama": 14,
    "qwen3": 14,
    "gemma3": 14,
    "mistral": 14,
    "phi": 12,
    "phi3": 8,
    "mixtral": 8,
    "qwen3_moe": 8,
    "gpt2": 8,
}
EXPERTS = ("mixtral", "qwen3_moe")


@pytest.mark.parametrize("family", MODULES)
def test_an_architecture_from_data_to_checkpoint(
    family: str, tiny_base_folders, tmp_path: Path
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = tiny_base_folders(family, chat=True)
    project = make_project(
        tmp_path / "project", base, compare=["base", "individual"],
        train={"max_steps": 2, "per_device_train_batch_size": 2, "learning_rate": 0.05,
               "max_length": 64},
    )  # fmt: skip

    outcome = run_project(project)

    assert outcome.of("failed", "skipped") == []
    merge = outcome.results["merge/classification/ties/seed0"].action
    assert merge is not None
    merged = Adapter.load(open_workspace(project).store.object(merge.output))
    assert len(merged.modules) == MODULES[family]
    results = json.loads((project.parent / "results.json").read_text())
    assert {score["model"] for score in results["scores"]} == {"base", "individual", "merged:ties"}

    runner = CliRunner()
    for arguments in (["adapter"], ["full", "--checkpoint"]):
        name, *options = arguments
        done = runner.invoke(
            app, ["export", str(tmp_path / name), *options, "--project", str(project)]
        )
        assert done.exit_code == 0, done.output
    ids = AutoTokenizer.from_pretrained(tmp_path / "full").apply_chat_template(
        [{"role": "user", "content": "a text"}], add_generation_prompt=True, return_tensors="pt"
    )["input_ids"]
    with torch.inference_mode():
        plain = AutoModelForCausalLM.from_pretrained(tmp_path / "full")(ids).logits
        untouched = AutoModelForCausalLM.from_pretrained(base)
        before = untouched(ids).logits.clone()
        adapted = PeftModel.from_pretrained(untouched, tmp_path / "adapter")(ids).logits
    torch.testing.assert_close(plain, adapted, atol=2e-4, rtol=1e-3)
    assert not torch.allclose(plain, before, atol=1e-3)


@pytest.mark.parametrize("family", EXPERTS)
def test_experts_are_left_as_they_are_and_that_is_said(
    family: str, tiny_base_folders, tmp_path: Path
) -> None:
    base = tiny_base_folders(family, chat=True)
    project = make_project(tmp_path, base)

    shown = CliRunner().invoke(app, ["check", "--project", str(project)])

    assert shown.exit_code == 0
    assert "of its weights are experts, held in one block a layer" in shown.output
    skeleton = load_skeleton(resolve_base(str(base), base, tmp_path))
    with pytest.raises(AdapterError, match=r"'gate_up_proj' of .* holds all experts of a layer"):
        target_modules(skeleton, ["q_proj", "gate_up_proj"])


def test_a_prompt_reaches_a_chat_model_as_transformers_would_put_it(
    tiny_base_folders, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    from langmerge.data import Row
    from langmerge.examples import Presenter
    from langmerge.project import load_project

    base = tiny_base_folders("qwen3", chat=True)
    project = load_project(make_project(tmp_path, base))
    tokenizer = AutoTokenizer.from_pretrained(base)
    presenter = Presenter(project.tasks["classification"], "de", Encoder(tokenizer, 64))
    row = Row("1", "1", {"text": "a text"}, "good")

    prompt, candidates = presenter.scoring(row)

    prompt_text = project.tasks["classification"].prompt_text(row, "de")
    turns = [{"role": "user", "content": prompt_text}]
    expected = tokenizer.apply_chat_template(turns, add_generation_prompt=True)["input_ids"]
    assert prompt == expected
    assert tokenizer.decode(candidates[0]) == "good"
    example = presenter.training_example(row)
    answered = [*turns, {"role": "assistant", "content": "good"}]
    whole = tokenizer.apply_chat_template(answered)["input_ids"]
    found = [*example.prompt_ids, *example.completion_ids]
    assert found == list(whole)[: len(found)]
