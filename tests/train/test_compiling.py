"""Compiled layers train what layers as they are train."""

import pytest
from trainings import equal, lessons

from langmerge.errors import UserError
from langmerge.train import compiling, train_adapters


@pytest.fixture(autouse=True)
def without_compiler(monkeypatch):
    """Trace the layers, and run what was traced as it is: machine code takes minutes."""
    monkeypatch.setattr(compiling, "_BACKEND", "eager")


@pytest.mark.parametrize("grouping", ["sequential", "grouped"])
def test_losses_are_those_of_layers_as_they_are(tiny_base, grouping):
    which = slice(2 if grouping == "grouped" else 1)
    plain, asked = lessons(steps=2)[which], lessons(steps=2, torch_compile=True)[which]
    expected = train_adapters(tiny_base, plain, grouping=grouping).outcomes
    found = train_adapters(tiny_base, asked, grouping=grouping).outcomes
    for name, result in found.items():
        assert result.losses == pytest.approx(expected[name].losses, abs=1e-4)
        assert 0 < result.compile_seconds < result.seconds
        assert expected[name].compile_seconds == 0
    assert all(layer._compiled_call_impl is None for layer in tiny_base.model.base_model.layers)
    again = train_adapters(tiny_base, plain, grouping=grouping).outcomes
    assert all(equal(again[name], expected[name]) for name in again)


def test_where_nothing_can_be_compiled_it_says_so(tiny_base, monkeypatch):
    def backend(_graph, _inputs):
        raise RuntimeError("no compiler found")

    monkeypatch.setattr(compiling, "_BACKEND", backend)
    with pytest.raises(
        UserError, match=r"torch\.compile cannot run here .*; install a C\+\+"
    ) as info:
        train_adapters(tiny_base, lessons(steps=2, torch_compile=True)[:1])
    assert "\n" not in str(info.value)
    assert not any(module._forward_hooks for module in tiny_base.model.modules())
