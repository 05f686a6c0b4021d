"""mergekit's own tensor merge as an independent oracle (its defaults: the profile `mergekit`)."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from langmerge.merging import merge

from .test_more_oracles import uniforms
from .test_oracles import masks
from .toys import deltas, toy

gta = pytest.importorskip("mergekit.merge_methods.generalized_task_arithmetic")
registry = pytest.importorskip("mergekit.merge_methods.registry")

WEIGHTS = [1.0, 2.0, 0.5]


@pytest.fixture(scope="module")
def adapters():
    """Sorted by digest, as they are merged: a mask drawn in that order is the right one's."""
    made = [toy(1, rank=2), toy(2, rank=3, scale=0.5), toy(3, rank=1, scale=2.0)]
    return sorted(made, key=lambda adapter: adapter.digest)


def theirs(method, module_deltas, **parameters):
    """What mergekit makes of full weights in float64, less the base."""
    from mergekit.merge_methods.base import TensorGroup

    base = torch.zeros(module_deltas[0].shape, dtype=torch.float64)
    models = [base + torch.from_numpy(delta) for delta in module_deltas]
    group = TensorGroup.from_tensors([base, *models], base_index=0)
    ids = range(1, len(models) + 1)
    defaults = {p.name: p.default for p in registry.get(method).spec.parameters}
    per_model = {
        "weight": dict(zip(ids, WEIGHTS, strict=True)),
        "density": dict.fromkeys(ids, parameters.pop("density", 1.0)),
    }
    return registry.get(method).merge_group(group, **(defaults | per_model | parameters)).numpy()


def check(adapters, method, ours, **parameters):
    for module, found in deltas(ours).items():
        expected = theirs(method, [deltas(a)[module] for a in adapters], **parameters)
        assert np.abs(found - expected).max() <= 5e-6 * max(1.0, np.abs(expected).max())


@pytest.mark.parametrize("density", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("rescale", [True, False])
def test_ties(adapters, density, normalize, rescale):
    options = {"density": density, "normalize": normalize}
    ours = merge(
        adapters, "ties", weights=WEIGHTS, lambda_=0.7, profile="mergekit",
        rescale="l1" if rescale else "none", **options,
    )  # fmt: skip
    check(adapters, "ties", ours, **options, rescale=rescale, **{"lambda": 0.7})


def test_task_arithmetic(adapters):
    ours = merge(adapters, "task_arithmetic", weights=WEIGHTS, profile="mergekit", lambda_=0.4)
    check(adapters, "task_arithmetic", ours, **{"lambda": 0.4})


@pytest.mark.parametrize("density", [0.5, 1.0])
@pytest.mark.parametrize("method", ["dare_ties", "dare_linear"])
def test_dare_given_the_same_masks(adapters, method, density, monkeypatch):
    """Its defaults: the models add up, and each keeps its L1 norm."""
    options = {"density": density, "seed": 4}
    ours = merge(adapters, method, weights=WEIGHTS, profile="mergekit", **options)
    for module, found in deltas(ours).items():
        drawn = iter(list(masks(adapters, module, found.shape, density, 4)))
        monkeypatch.setattr(
            torch, "bernoulli", lambda p, drawn=drawn: torch.from_numpy(next(drawn)).to(p.dtype)
        )
        expected = theirs(method, [deltas(a)[module] for a in adapters], density=density)
        assert np.abs(found - expected).max() <= 5e-6 * max(1.0, np.abs(expected).max())


def test_its_signs_are_ours_at_zero():
    column = torch.tensor([[1.0], [-1.0]]).unsqueeze(-1)
    assert gta.get_mask(column, "sum").flatten().tolist() == [True, False]


@pytest.mark.parametrize("density", [0.3, 0.8, 1.0])
@pytest.mark.parametrize("method", ["breadcrumbs", "breadcrumbs_ties"])
@pytest.mark.parametrize("gamma", [0.01, 0.15])
def test_breadcrumbs(adapters, method, density, gamma):
    options = {"density": density}
    ours = merge(adapters, method, weights=WEIGHTS, gamma=gamma, profile="mergekit", **options)
    gammas = dict.fromkeys(range(1, len(adapters) + 1), gamma)
    check(adapters, method, ours, **options, gamma=gammas)


@pytest.mark.parametrize("method", ["della", "della_linear"])
def test_della_given_the_same_random_numbers(adapters, method, monkeypatch):
    ours = merge(adapters, method, weights=WEIGHTS, profile="mergekit", density=0.6, seed=4)
    for module, found in deltas(ours).items():
        drawn = iter([uniforms(a, module, found.shape, 4) for a in adapters])
        monkeypatch.setattr(
            torch,
            "bernoulli",
            lambda p, drawn=drawn: (torch.from_numpy(next(drawn)) < p).to(p.dtype),
        )
        expected = theirs(
            method, [deltas(a)[module] for a in adapters], density=0.6,
            epsilon=dict.fromkeys(range(1, len(adapters) + 1), 0.15),
        )  # fmt: skip
        assert np.abs(found - expected).max() <= 5e-6 * max(1.0, np.abs(expected).max())


@pytest.mark.parametrize("density", [0.2, 0.7, 1.0])
def test_sce(adapters, density):
    ours = merge(adapters, "sce", density=density, profile="mergekit")
    for module, found in deltas(ours).items():
        expected = plain("sce", adapters, module, select_topk=density)
        assert np.abs(found - expected).max() <= 2e-5 * max(1.0, np.abs(expected).max())


def test_model_stock():
    adapters = [toy(1), toy(2)]
    adapters.append(merge(adapters, "linear"))
    for module, found in deltas(merge(adapters, "model_stock", profile="mergekit")).items():
        expected = plain("model_stock", adapters, module)
        assert np.abs(found - expected).max() <= 5e-6 * max(1.0, np.abs(expected).max())


def plain(method, adapters, module, **parameters):
    """A method of mergekit that takes no weights."""
    from mergekit.merge_methods.base import TensorGroup

    models = [torch.from_numpy(deltas(adapter)[module]) for adapter in adapters]
    group = TensorGroup.from_tensors([torch.zeros_like(models[0]), *models], base_index=0)
    defaults = {p.name: p.default for p in registry.get(method).spec.parameters}
    return registry.get(method).merge_group(group, **(defaults | parameters)).numpy()
