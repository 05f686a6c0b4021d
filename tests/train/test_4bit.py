"""Adapters trained over a base in 4 bits, and used over the plain one."""

import importlib.util
import json
import math
import weakref
from itertools import pairwise

import pytest
import torch
import yaml
from projects import make_project
from torch import nn
from trainings import LORA, config, rows

import langmerge.engine.bench
from langmerge.base import resolve_base
from langmerge.cli.run import run_project
from langmerge.errors import AdapterError, BaseModelError, MissingExtraError, ProjectError
from langmerge.model import folded, load_base
from langmerge.project import load_project
from langmerge.results import RESULTS_FILE
from langmerge.train import train_adapter
from langmerge.train.acting import attached
from langmerge.train.flops import training_flops
from langmerge.train.lora import initial_factors, to_adapter

IDS = torch.tensor([[1, 50, 60, 70, 2, 9]])
TRAIN = {"max_steps": 2, "learning_rate": 0.01, "max_length": 64, "load_in_4bit": True}


@pytest.fixture
def resolved(tiny_base_folder, tmp_path):
    return resolve_base(str(tiny_base_folder), tmp_path, tmp_path / "cache")


@pytest.fixture
def quantized(resolved):
    pytest.importorskip("bitsandbytes")
    return load_base(resolved, "cpu", load_in_4bit=True)


def dequantized(quantized, resolved):
    """A plain base whose weights are those that the quantized one stands for."""
    from bitsandbytes.functional import dequantize_4bit

    plain = load_base(resolved, "cpu")
    for name, module in quantized.model.named_modules():
        if hasattr(module, "quant_state"):
            weight = dequantize_4bit(module.weight.data, module.weight.quant_state)
            plain.module(name).weight = nn.Parameter(weight.float(), requires_grad=False)
    return plain


def gradients(base):
    factors = initial_factors(base, LORA, seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for factor in factors.values():
            factor.b.copy_(torch.randn(factor.b.shape, generator=generator) * 0.1)
    with attached(base, factors):
        loss = base.logits(base.hidden_states(IDS)).log_softmax(-1)[0, :, 7].mean()
        loss.backward()
    return loss.detach(), {
        (name, part): getattr(factor, part).grad
        for name, factor in factors.items()
        for part in ("a", "b")
    }


def test_loss_and_gradients_are_those_over_the_rounded_weights(quantized, resolved, tiny_base):
    packed = quantized.module("model.layers.0.self_attn.q_proj").weight
    assert packed.dtype == torch.uint8
    assert quantized.dtype == torch.float32
    # Without gradients first: nothing of it may stay.
    with torch.inference_mode():
        quantized.hidden_states(IDS)
    loss, found = gradients(quantized)
    expected_loss, expected = gradients(dequantized(quantized, resolved))
    torch.testing.assert_close(loss, expected_loss, atol=1e-4, rtol=1e-4)
    assert found.keys() == expected.keys()
    for key, gradient in expected.items():
        largest = float(gradient.abs().max())
        torch.testing.assert_close(found[key], gradient, atol=1e-3 * largest, rtol=1e-3)
    assert not torch.equal(loss, gradients(tiny_base)[0])  # They are rounded.


def test_training_learns_and_starts_as_over_the_plain_base(quantized, tiny_base):
    result = train_adapter(quantized, rows(4), LORA, config(max_steps=2), seed=0)
    assert all(math.isfinite(loss) for loss in result.losses)
    assert result.losses[1] < result.losses[0]
    start, plain = (initial_factors(base, LORA, 0) for base in (quantized, tiny_base))
    assert start.keys() == plain.keys()
    assert all(torch.equal(start[name].a, plain[name].a) for name in plain)
    assert {n: f.b.shape for n, f in start.items()} == {n: f.b.shape for n, f in plain.items()}
    counts = [training_flops(base, start, 100, 10) for base in (quantized, tiny_base)]
    assert counts[0] == counts[1]


def test_folding_into_it_is_refused(quantized):
    adapter = to_adapter(quantized, initial_factors(quantized, LORA, 0))
    with (
        pytest.raises(AdapterError, match=r"quantized.*without load_in_4bit"),
        folded(quantized, adapter),
    ):
        pass


def test_a_project_trains_over_4_bits_and_merges_and_evaluates_plain(
    quantized, tmp_path, tiny_base_folder, monkeypatch
):
    loaded, before = [], []

    def noted(*arguments, **options):
        assert not any(model() for model in before)  # One base is in memory, and no more.
        base = load_base(*arguments, **options)
        loaded.append(options["load_in_4bit"])
        before.append(weakref.ref(base.model))
        return base

    monkeypatch.setattr(langmerge.engine.bench, "load_base", noted)
    project = make_project(tmp_path / "project", tiny_base_folder, train=TRAIN)
    assert not run_project(project).of("failed", "skipped")
    assert loaded[:2] == [True, False]
    assert all(first is not second for first, second in pairwise(loaded))
    results = json.loads((project.parent / RESULTS_FILE).read_text())
    models = {average["model"] for average in results["averages"]}
    assert {"individual", "merged:ties", "base"} <= models


@pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is not None, reason="is installed")
def test_a_missing_package_is_named(resolved):
    with pytest.raises(MissingExtraError, match=r"pip install 'langmerge\[quantized\]'"):
        load_base(resolved, "cpu", load_in_4bit=True)


@pytest.mark.parametrize("quantize", [False, True])
def test_a_checkpoint_that_is_quantized_already_is_refused(
    tmp_path, tiny_base, quantize, monkeypatch
):
    monkeypatch.setattr("langmerge.model.importlib.util.find_spec", lambda _name: True)
    folder = tmp_path / "gptq"
    tiny_base.model.save_pretrained(folder)
    tiny_base.tokenizer.save_pretrained(folder)
    settings = json.loads((folder / "config.json").read_text())
    settings["quantization_config"] = {"quant_method": "gptq", "bits": 4}
    (folder / "config.json").write_text(json.dumps(settings))
    found = resolve_base(str(folder), tmp_path, tmp_path / "cache")
    with pytest.raises(BaseModelError, match="weights are quantized"):
        load_base(found, "cpu", load_in_4bit=quantize)


@pytest.mark.parametrize("section", ["languages", "combined", "update"])
def test_no_part_has_a_base_of_its_own(tmp_path, tiny_base_folder, section):
    own = {"train": {"load_in_4bit": True}}
    project = make_project(tmp_path / "project", tiny_base_folder)
    content = yaml.safe_load(project.read_text())
    content[section] = {"de": own, "en": {}} if section == "languages" else own
    project.write_text(yaml.safe_dump(content))
    with pytest.raises(ProjectError, match="load_in_4bit: all languages share one base"):
        load_project(project)
