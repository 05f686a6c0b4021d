"""Our LoRA against PEFT's."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from langmerge.adapter import Adapter
from langmerge.encoding import Example
from langmerge.errors import AdapterError
from langmerge.model import folded
from langmerge.train.acting import Layout, attached
from langmerge.train.batches import collate
from langmerge.train.config import LoraSettings
from langmerge.train.lora import (
    initial_factors,
    rank_and_scale,
    target_modules,
    to_adapter,
)
from langmerge.train.loss import backward_through_head

EXAMPLES = [Example((1, 40, 50), (60, 61)), Example((1, 9), (90, 91, 92, 2)), Example((1,), (5,))]
SETTINGS = [
    {},
    {"use_rslora": True, "r": 3},
    {"target_modules": ("q_proj", "mlp.down_proj")},
    {"target_modules": r".*layers\.1\.mlp\..*_proj"},
    {"rank_pattern": {"q_proj": 2, r"layers\.1\.mlp\..*": 5}, "alpha_pattern": {"q_proj": 7.0}},
]


def peft_model(folder, lora):
    torch.manual_seed(0)
    settings = lora.model_dump(mode="json") | {"task_type": "CAUSAL_LM"}
    return get_peft_model(AutoModelForCausalLM.from_pretrained(folder), LoraConfig(**settings))


def peft_factors(model, prefix="base_model.model."):
    found = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            module, part = name.removeprefix(prefix).split(".lora_")
            found[module, part[0].lower()] = parameter
    return found


def randomize(factors):
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for factor in factors.values():
            factor.b.copy_(torch.randn(factor.b.shape, generator=generator) * 0.1)
    return factors


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_loss_and_gradients_equal_pefts(tiny_bases, tiny_base_folders, family, settings):
    base, lora = tiny_bases(family), LoraSettings(**{"r": 4, **settings})
    factors = randomize(initial_factors(base, lora, seed=0))
    model = peft_model(tiny_base_folders(family), lora)
    theirs = peft_factors(model)
    assert {module for module, _ in theirs} == set(factors)

    with torch.no_grad():
        for (module, part), parameter in theirs.items():
            parameter.copy_(getattr(factors[module], part))
    total, count = torch.zeros(()), 0
    for example in EXAMPLES:
        ids = torch.tensor([[*example.prompt_ids, *example.completion_ids]])
        labels = ids.clone()
        labels[:, : len(example.prompt_ids)] = -100
        total = total + model(ids, labels=labels).loss * len(example.completion_ids)
        count += len(example.completion_ids)
    (total / count).backward()

    batch = collate(EXAMPLES)
    count = len(batch.targets)
    with attached(base, factors) as acting:
        hidden = base.hidden_states(batch.input_ids).flatten(0, 1)[batch.positions]
        loss = backward_through_head(
            base, hidden, batch.targets, acting=acting, counts=[count], weights=[1 / count]
        )
    assert loss.item() == pytest.approx(total.item() / count, rel=1e-5)
    for (module, part), parameter in theirs.items():
        ours = getattr(factors[module], part).grad
        torch.testing.assert_close(ours, parameter.grad, atol=1e-5, rtol=1e-3)


def test_the_start_is_distributed_as_pefts(tiny_base, tiny_base_folder):
    lora = LoraSettings(r=16)
    factors = initial_factors(tiny_base, lora, seed=0)
    theirs = peft_factors(peft_model(tiny_base_folder, lora))
    for name, factor in factors.items():
        a = theirs[name, "a"]
        assert not factor.b.any()
        assert factor.a.abs().max() <= 1 / a.shape[1] ** 0.5
        assert factor.a.std().item() == pytest.approx(a.std().item(), rel=0.15)


def test_the_start_depends_on_seed_and_name(tiny_base):
    few = initial_factors(tiny_base, LoraSettings(target_modules=("q_proj",)), seed=5)
    many = initial_factors(tiny_base, LoraSettings(), seed=5)
    other = initial_factors(tiny_base, LoraSettings(), seed=6)
    for name, factor in few.items():
        assert torch.equal(factor.a, many[name].a)
        assert not torch.equal(factor.a, other[name].a)
    first, second = list(few.values())
    assert not torch.equal(first.a, second.a)


def test_an_adapter_folded_in_computes_what_was_trained(tiny_base):
    factors = randomize(initial_factors(tiny_base, LoraSettings(r=4), seed=0))
    ids = torch.tensor([[1, 50, 60, 70]])
    with torch.no_grad():
        with attached(tiny_base, factors):
            trained = tiny_base.hidden_states(ids)
        plain = tiny_base.hidden_states(ids)
        with folded(tiny_base, to_adapter(tiny_base, factors)):
            merged = tiny_base.hidden_states(ids)
    torch.testing.assert_close(merged, trained, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(plain, trained)


def test_peft_computes_the_same_with_a_saved_adapter(tiny_base, tiny_base_folder, tmp_path):
    from peft import PeftModel

    lora = LoraSettings(r=4, rank_pattern={"q_proj": 2}, use_rslora=True)
    factors = randomize(initial_factors(tiny_base, lora, seed=0))
    to_adapter(tiny_base, factors).save(tmp_path / "adapter")
    model = AutoModelForCausalLM.from_pretrained(tiny_base_folder)
    model = PeftModel.from_pretrained(model, tmp_path / "adapter").eval()
    ids = torch.tensor([[1, 50, 60, 70]])
    with torch.no_grad(), folded(tiny_base, Adapter.load(tmp_path / "adapter")):
        torch.testing.assert_close(
            model(ids).logits, tiny_base.model(ids).logits, atol=1e-5, rtol=1e-4
        )


def test_dropout_drops_inputs(tiny_base):
    factors = randomize(initial_factors(tiny_base, LoraSettings(lora_dropout=0.5), seed=0))
    name, factor = next(iter(factors.items()))
    x = torch.ones(20_000, factor.a.shape[1])
    with torch.no_grad(), attached(tiny_base, factors) as acting:
        kept = acting.added(name, x)
        with acting.during(Layout((0,), (20_000,), seeds=(7,))):
            noisy, again = acting.added(name, x), acting.added(name, x)
        with acting.during(Layout((0,), (20_000,), seeds=(8,))):
            other = acting.added(name, x)
    torch.testing.assert_close(noisy.mean(0), kept[0], atol=0.02, rtol=0)
    assert not torch.allclose(noisy[0], noisy[1])
    assert torch.equal(noisy, again)
    assert not torch.equal(noisy, other)


@pytest.mark.parametrize(
    ("targets", "message"),
    [(("q_porj",), "did you mean 'q_proj'"), ("nothing", "matches no linear module")],
)
def test_targets_that_match_nothing(tiny_base, targets, message):
    with pytest.raises(AdapterError, match=message):
        target_modules(tiny_base, targets)


def test_scales():
    assert rank_and_scale("a.b", LoraSettings(r=4, lora_alpha=8)) == (4, 2.0)
    assert rank_and_scale("a.b", LoraSettings(r=4, lora_alpha=8, use_rslora=True)) == (4, 4.0)
    patterns = LoraSettings(r=4, lora_alpha=8, rank_pattern={"b": 2}, alpha_pattern={"a.b": 1.0})
    assert rank_and_scale("a.b", patterns) == (2, 0.5)
