"""What several adapters add to their own tokens, by grouped products and by one product each."""

import pytest
import torch

from langmerge.train import acting as acting_module
from langmerge.train.acting import Acting, Layout
from langmerge.train.lora import TrainableFactors

RANKS, COUNTS = (4, 7, 1, 16), (5, 0, 3, 9)


def adapters(dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    found = []
    for index, rank in enumerate(RANKS):
        a = torch.randn(rank, 24, generator=generator).to(dtype).requires_grad_()
        b = torch.randn(16, rank, generator=generator).to(dtype).requires_grad_()
        found.append({"layer": TrainableFactors(a, b, 0.5 + index)})
    return found


def gradients(found):
    return [f["layer"].a.grad for f in found] + [f["layer"].b.grad for f in found]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_grouped_products_equal_one_each(monkeypatch, dtype):
    if not hasattr(torch.nn.functional, "grouped_mm"):
        pytest.skip("this torch has no grouped_mm")
    x = torch.randn(sum(COUNTS), 24, generator=torch.Generator().manual_seed(1)).to(dtype)
    outputs, found = [], []
    for grouped in (False, True):
        monkeypatch.setattr(acting_module, "_has_grouped_mm", lambda *_, grouped=grouped: grouped)
        factors = adapters()
        acting = Acting(factors)
        own = x.clone().requires_grad_()
        with acting.during(Layout(tuple(range(4)), COUNTS)):
            added = acting.added("layer", own)
        (added.float() ** 2).sum().backward()
        outputs.append(added)
        found.append([own.grad, *gradients(factors)])
    close = {"rtol": 1e-4, "atol": 1e-4} if dtype == torch.float32 else {"rtol": 0.05, "atol": 1.5}
    torch.testing.assert_close(outputs[1], outputs[0], **close)
    for grouped, one_each in zip(found[1], found[0], strict=True):
        if one_each is None or not one_each.any():  # the adapter without tokens
            assert grouped is None or not grouped.any()
        elif dtype == torch.float32:
            torch.testing.assert_close(grouped, one_each, rtol=1e-3, atol=1e-3)


def test_a_module_that_only_some_adapt():
    factors = adapters()
    factors[2] = {}
    x = torch.randn(sum(COUNTS), 24)
    acting = Acting(factors)
    with acting.during(Layout(tuple(range(4)), COUNTS)):
        added = acting.added("layer", x)
    assert not added[5:8].any()
    torch.testing.assert_close(added[:5], factors[0]["layer"](x[:5]))
    with acting.during(Layout((2,), (17,))):
        assert acting.added("layer", x) is None


def test_dropout_is_the_tokens_own_wherever_they_stand():
    factors = [
        {"layer": TrainableFactors(f["layer"].a, f["layer"].b, 1.0, 0.5)} for f in adapters()
    ]
    x = torch.ones(6, 24)
    acting = Acting(factors)
    with acting.during(Layout((1,), (6,), seeds=(7,))):
        alone = acting.added("layer", x)
    # Among others, and in rows of two and four tokens padded to five.
    padded = torch.ones(3 + 10, 24)
    real = torch.tensor([0, 1, 2, 3, 4, 8, 9, 10, 11])
    layout = Layout((0, 1), (3, 10), seeds=(3, 7), real=real, real_counts=(3, 6))
    with acting.during(layout):
        among = acting.added("layer", padded)
    torch.testing.assert_close(among[real[3:]], alone)
    assert not among[[5, 6, 7, 12]].any()
