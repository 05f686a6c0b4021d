"""Which adapters are alike enough to help a small language."""

from __future__ import annotations

import json

import pytest
import torch
from typer.testing import CliRunner

from langmerge.adapter import Adapter, LoraFactors
from langmerge.analysis import analyze, donors
from langmerge.cli import app
from langmerge.errors import AdapterError


def adapter(seed, common=0.0, scale=1.0):
    """Random factors, with more or less of what the small language has."""
    shapes = {"layers.0.q": (20, 16, 2), "layers.1.q": (20, 16, 2)}
    own, shared = torch.Generator().manual_seed(seed), torch.Generator().manual_seed(99)

    def draw(*size):
        mixed = (1 - common) * torch.randn(*size, generator=own)
        return mixed + common * torch.randn(*size, generator=shared)

    return Adapter.from_factors(
        {m: LoraFactors(draw(r, k), draw(n, r), scale) for m, (n, k, r) in shapes.items()},
        base_model="toy",
    )


@pytest.fixture(scope="module")
def adapters():
    return {
        "small": adapter(1, 1.0),
        "near": adapter(2, 0.8, scale=3.0),
        "far": adapter(3),
        "middle": adapter(4, 0.5),
    }


def test_the_likest_come_first(adapters):
    found = donors(analyze(adapters), "small")
    assert [donor.name for donor in found] == ["near", "middle", "far"]
    near, middle, far = found
    assert 1.0 <= near.place < middle.place < far.place == 3.0
    assert near.cosine > 0.5 > abs(far.cosine)
    assert near.agreement > 0.9
    assert near.overlap > far.overlap
    assert near.gain is None


def test_size_is_the_norm_over_the_small_languages(adapters):
    analysis = analyze(adapters, density=None)
    norms = dict(zip(analysis.names, analysis.whole.norms, strict=True))
    for donor in donors(analysis, "small"):
        assert donor.size == pytest.approx(norms[donor.name] / norms["small"])
        assert donor.agreement is None


def test_dev_decides_where_it_is_known(adapters):
    found = donors(analyze(adapters, density=None), "small", {"far": 2.0, "middle": -1.0})
    assert [donor.name for donor in found] == ["far", "middle", "near"]


def test_an_untrained_adapter_is_last(adapters):
    nothing = Adapter.from_factors(
        {"layers.0.q": LoraFactors(torch.zeros(2, 16), torch.zeros(20, 2))}, base_model="toy"
    )
    found = donors(analyze({**adapters, "nothing": nothing}), "small")
    assert found[-1].name == "nothing"
    assert donors(analyze({**adapters, "nothing": nothing}), "nothing")[0].size is None


def test_an_unknown_language_is_named(adapters):
    analysis = analyze(adapters, density=None)
    with pytest.raises(AdapterError, match="'smal' is none of the adapters; did you mean 'small'"):
        donors(analysis, "smal")
    with pytest.raises(AdapterError, match="'xx' is none of the adapters"):
        donors(analysis, "small", {"xx": 1.0})


def test_the_command(adapters, tmp_path):
    for name, one in adapters.items():
        one.save(tmp_path / name)
    folders = [str(tmp_path / name) for name in adapters]

    def call(*options, code=0):
        result = CliRunner().invoke(app, ["analyze", *folders, *options])
        assert result.exit_code == code, result.output
        return result

    shown = call("--donors", "small", "--gain", "far=1.5").stdout
    assert "donors for small" in shown
    assert "+1.5" in shown
    found = json.loads(call("--donors", "small", "--json").stdout)
    assert [donor["name"] for donor in found] == ["near", "middle", "far"]
    for wrong in (("--gain", "far=1"), ("--donors", "small", "--gain", "far")):
        assert call(*wrong, code=1).exception is not None
