"""Calibrated weights: the loss they lower, its gradient, and what they come to."""

from __future__ import annotations

import copy
from itertools import permutations

import pytest
import torch
from trainings import rows

from langmerge.adapter import Adapter, LoraFactors
from langmerge.choose.calibrate import calibrate, calibration_rows
from langmerge.choose.combination import Combination
from langmerge.data import Row
from langmerge.encoding import Example
from langmerge.errors import AdapterError, MergeError
from langmerge.merging import merge
from langmerge.model import BaseModel, features, folded
from langmerge.train import train_adapter
from langmerge.train.config import LoraSettings, TrainConfig
from langmerge.train.packing import packing_kernel


def as_dtype(base, dtype):
    return BaseModel(copy.deepcopy(base.model).to(dtype), base.tokenizer, base.resolved)


def drawn(base, seed, *, rank=3, scale=0.5, size=0.05, ends=("q_proj", "down_proj")):
    """An adapter of random factors."""
    generator = torch.Generator().manual_seed(seed)
    factors = {}
    for name, module in base.model.named_modules():
        if name.endswith(ends):
            out, inner = features(module)
            a = torch.randn(rank, inner, generator=generator) * size
            b = torch.randn(out, rank, generator=generator)
            factors[name] = LoraFactors(a=a, b=b, scale=scale)
    return Adapter.from_factors(factors, fan_in_fan_out="gpt2" in str(base.resolved.location))


def three(base):
    """Adapters of other ranks, scales and modules."""
    return [
        drawn(base, 0),
        drawn(base, 1, rank=5, scale=2.0, size=0.02),
        drawn(base, 2, rank=2, ends=("q_proj", "lm_head")),
    ]


EXAMPLES = {"de": rows(5, seed=1), "en": rows(9, seed=2), "fr": rows(3, seed=3)}


def plain_loss(base, examples):
    """The mean over languages of the mean loss per supervised token, by transformers' own pass."""
    means = []
    for of in examples.values():
        losses = []
        for example in of:
            ids = torch.tensor([[*example.prompt_ids, *example.completion_ids]])
            with torch.no_grad():
                logits = base.model(input_ids=ids, use_cache=False).logits[0]
            places = range(len(example.prompt_ids), ids.shape[1])
            logs = torch.log_softmax(logits.double(), -1)
            losses += [-float(logs[at - 1, ids[0, at]]) for at in places]
        means.append(sum(losses) / len(losses))
    return sum(means) / len(means)


@pytest.mark.parametrize("case", ["llama", "gemma3", "gpt2", "ancestor"])
def test_the_loss_is_that_of_the_merge(tiny_bases, case):
    base = tiny_bases("llama" if case == "ancestor" else case)
    ancestor = drawn(base, 9, rank=4) if case == "ancestor" else None
    if case == "gpt2":
        adapters = [drawn(base, seed, ends=("c_attn", "c_fc")) for seed in range(3)]
    else:
        adapters = three(base) if ancestor is None else [drawn(base, seed) for seed in range(3)]
    weights, scales = (1.7, -0.9, 2.1), (0.5, 1.5)
    with Combination(base, adapters, bands=2, ancestor=ancestor) as combination:
        with torch.no_grad():
            combination.values.weights.copy_(torch.tensor(weights))
            combination.values.bands.copy_(torch.tensor(scales))
        found = combination.losses(EXAMPLES)
    merged = merge(
        adapters, "task_arithmetic", weights=weights, layer_scales=scales, ancestor=ancestor
    )
    with folded(base, merged):
        expected = plain_loss(base, EXAMPLES)
    without = plain_loss(base, EXAMPLES)
    assert abs(sum(found.values()) / 3 - expected) < 1e-3 * abs(without - expected)


@pytest.mark.parametrize("packs", [True, False], ids=["packed", "padded"])
@pytest.mark.parametrize("has_ancestor", [False, True])
def test_the_gradient_is_that_of_finite_differences(tiny_base, monkeypatch, packs, has_ancestor):
    if not packs:
        monkeypatch.setattr("langmerge.choose.combination.packing_kernel", lambda _base: None)
    base = as_dtype(tiny_base, torch.float64)
    assert packing_kernel(base) is not None
    ancestor = drawn(base, 9, rank=4) if has_ancestor else None
    adapters = [drawn(base, seed) for seed in range(3)] if ancestor else three(base)
    with Combination(base, adapters, bands=2, ancestor=ancestor, size=4) as combination:

        def loss():
            return sum(combination.losses(EXAMPLES).values()) / len(EXAMPLES)

        assert combination.set_gradients(EXAMPLES) == pytest.approx(loss(), rel=1e-12)
        for value in (combination.values.weights, combination.values.bands):
            assert value.dtype == torch.float64
            for at, slope in enumerate(value.grad.tolist()):
                before, sides = value[at].item(), []
                for step in (1e-3, -1e-3):
                    with torch.no_grad():
                        value[at] = before + step
                    sides.append(loss())
                with torch.no_grad():
                    value[at] = before
                # The model's norms compute in fp32 whatever the dtype, which bounds the step.
                assert slope == pytest.approx((sides[0] - sides[1]) / 2e-3, rel=1e-3, abs=1e-5)


@pytest.fixture(scope="module")
def useful(tiny_base):
    """An adapter that learned what the rows ask for."""
    settings = TrainConfig(learning_rate=1e-2, num_train_epochs=6, per_device_train_batch_size=4)
    examples = [Example(row.prompt_ids, (60, 2)) for row in rows(20)]
    return train_adapter(tiny_base, examples, LoraSettings(r=4), settings, seed=0).adapter


ASKED = [Example(row.prompt_ids, (60, 2)) for row in rows(12, seed=5)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_useful_adapter_gets_the_weight(tiny_base, useful, dtype):
    base = as_dtype(tiny_base, dtype)
    adapters = {"noise": drawn(base, 7, size=0.3), "useful": useful}
    found = calibrate(base, adapters, {"noise": ASKED[:6], "useful": ASKED[6:]}, batch_size=2)
    noise, of_use = found.weights
    assert of_use > 0.5 > abs(noise)
    assert found.layer_scales is None
    assert len(found.losses) == 1 + 17  # three steps a pass, so that there are 50
    assert min(found.losses) < found.losses[0]
    assert sum(found.after.values()) / 2 == pytest.approx(min(found.losses))
    assert found.rows == {"noise": 6, "useful": 6}
    for parameter in base.model.parameters():
        assert not parameter.requires_grad
        assert parameter.grad is None
    assert not any(module._forward_hooks for module in base.model.modules())


def test_it_is_never_worse_than_the_mean(tiny_base, useful):
    adapters = {"noise": drawn(tiny_base, 7), "useful": useful}
    found = calibrate(tiny_base, adapters, {"useful": ASKED}, rate=50.0)
    assert min(found.losses[1:]) > found.losses[0]
    assert found.weights == (0.5, 0.5)
    assert found.after == found.before


def test_the_order_of_languages_does_not_matter(tiny_base):
    adapters = dict(zip(("de", "en", "fr"), three(tiny_base), strict=True))
    first = calibrate(tiny_base, adapters, EXAMPLES, epochs=1)
    expected = dict(zip(adapters, first.weights, strict=True))
    assert len(set(expected.values())) == 3
    for order in permutations(adapters):
        own = {code: adapters[code] for code in order}
        again = calibrate(
            tiny_base, own, {code: EXAMPLES[code] for code in reversed(order)}, epochs=1
        )
        assert dict(zip(order, again.weights, strict=True)) == expected
        assert again.losses == first.losses


def test_a_band_of_noise_gets_a_smaller_factor(tiny_base, useful):
    noise = drawn(tiny_base, 7, size=0.3)
    factors = {name: useful.factors(name) for name in useful.modules if ".layers.0." in name}
    factors |= {name: noise.factors(name) for name in noise.modules if ".layers.1." in name}
    adapters = {"mixed": Adapter.from_factors(factors)}
    found = calibrate(tiny_base, adapters, {"mixed": ASKED}, batch_size=2, bands=2)
    assert found.layer_scales is not None
    assert found.layer_scales[0] > found.layer_scales[1] + 0.2
    assert min(found.losses) < found.losses[0]
    assert found.evidence(("mixed",))["layer_scales"] == list(found.layer_scales)


def test_less_memory_changes_nothing(tiny_base, monkeypatch):
    adapters = dict(zip(("de", "en", "fr"), three(tiny_base), strict=True))
    expected = calibrate(tiny_base, adapters, EXAMPLES, epochs=1)
    backward = Combination._backward

    def small(self, examples, size, weight):
        if size > 2:
            backward(self, examples[:1], size, 1.0)  # what was added up must not count
            raise torch.OutOfMemoryError
        return backward(self, examples, size, weight)

    monkeypatch.setattr(Combination, "_backward", small)
    found = calibrate(tiny_base, adapters, EXAMPLES, epochs=1)
    assert found.weights == pytest.approx(expected.weights, abs=1e-4)


def test_what_cannot_be_calibrated_is_said(tiny_base):
    adapters = {"de": drawn(tiny_base, 0), "en": drawn(tiny_base, 1)}
    unpredicted = [Example((), (5,))]
    with pytest.raises(MergeError, match="there are none of de, en; add dev rows"):
        calibrate(tiny_base, adapters, {"de": unpredicted})
    with pytest.raises(MergeError, match="found 0 adapters"):
        calibrate(tiny_base, {}, {"de": ASKED})
    other = {"model.layers.0.mlp.gone": LoraFactors(torch.ones(1, 4), torch.ones(4, 1))}
    with pytest.raises(AdapterError, match=r"no module 'model\.layers\.0\.mlp\.gone'"):
        calibrate(tiny_base, {"de": Adapter.from_factors(other)}, {"de": ASKED})
    table = tiny_base.model.get_input_embeddings().weight
    factors = LoraFactors(torch.ones(1, table.shape[1]), torch.ones(table.shape[0], 1))
    embedding = Adapter.from_factors(
        {"model.embed_tokens": factors}, embeddings=("model.embed_tokens",)
    )
    with pytest.raises(MergeError, match=r"adapts the embedding 'model\.embed_tokens'"):
        calibrate(tiny_base, {"de": embedding}, {"de": ASKED})
    broken = {
        name: LoraFactors(f.a * 1e30, f.b * 1e30)
        for name, f in ((n, adapters["de"].factors(n)) for n in adapters["de"].modules)
    }
    with pytest.raises(MergeError, match="the loss of de is not finite"):
        calibrate(tiny_base, {"de": Adapter.from_factors(broken)}, {"de": ASKED})


def test_rows_are_drawn_by_their_content():
    made = [Row(str(at), str(at), {"text": f"text {at}"}, "good") for at in range(9)]
    few = calibration_rows(made, 4)
    assert len(few) == 4
    assert calibration_rows(made[::-1], 4) == few
    assert calibration_rows(made, 100) == calibration_rows(made, 9)
