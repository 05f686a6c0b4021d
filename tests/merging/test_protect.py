"""Protection of some adapters' largest entries in merges that elect signs."""

from __future__ import annotations

import numpy as np
import pytest

from langmerge.errors import MergeError
from langmerge.merging import check_recipe, merge, methods

from . import oracles
from .toys import assert_same, deltas, toy

WEIGHTS = [1.0, 2.0, 0.5]
LARGE = {"large": (300, 701), "small": (7, 5)}
ELECTING = [info.name for info in methods() if info.elects]


@pytest.fixture(scope="module")
def adapters():
    return [toy(i, rank=i + 1, shapes=LARGE, scale=0.5 + i) for i in range(3)]


@pytest.mark.parametrize("density", [0.2, 1.0])
@pytest.mark.parametrize("slack", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("shares", [[0.05, 0.0, 0.0], [0.3, 0.1, 1.0]])
def test_the_formula(adapters, density, slack, shares):
    merged = deltas(merge(
        adapters, "ties", weights=WEIGHTS, density=density, protect=shares, slack=slack, lambda_=0.8
    ))  # fmt: skip
    for module, found in merged.items():
        parts = [deltas(adapter)[module] for adapter in adapters]
        expected = oracles.ties_with_protection(parts, WEIGHTS, density, shares, slack, 0.8)
        assert np.abs(found - expected).max() <= 5e-6 * max(1.0, np.abs(expected).max())


@pytest.mark.parametrize("name", ELECTING)
@pytest.mark.parametrize("slack", [0.0, 0.25, 1.0])
def test_what_is_promised_of_every_electing_method(adapters, name, slack):
    """In the dense space: the sign is kept, and the size but for the slack."""
    share, space = 0.1, {"space": "dense"}
    merged = deltas(merge(adapters, name, protect=[share, 0, 0], slack=slack, **space))
    for module, own in deltas(adapters[0]).items():
        protected = oracles.trim(own, share) != 0
        found = merged[module][protected]
        if slack < 1:
            assert (np.sign(found) == np.sign(own[protected])).all()
        assert (
            found * np.sign(own[protected]) >= (1 - slack) * np.abs(own[protected]) - 1e-4
        ).all()


@pytest.mark.parametrize("name", ELECTING)
def test_the_rest_of_the_merge_is_untouched(adapters, name):
    plain = deltas(merge(adapters, name, space="dense"))
    found = deltas(merge(adapters, name, space="dense", protect=[0.1, 0, 0]))
    for module, own in deltas(adapters[0]).items():
        free = oracles.trim(own, 0.1) == 0
        np.testing.assert_array_equal(found[module][free], plain[module][free])
    assert (found["large"] != plain["large"]).any()


def test_protecting_nothing_is_the_plain_merge_and_one_adapter_is_itself(adapters):
    assert merge(adapters, "ties", protect=[0, 0, 0]).digest == merge(adapters, "ties").digest
    assert_same(merge([adapters[0]], "ties", protect=[0.3]), adapters[0])


def test_the_order_of_the_adapters_changes_no_bit(adapters):
    one = merge(adapters, "ties", protect=[0.1, 0.0, 0.4], slack=0.5, space="core")
    two = merge(adapters[::-1], "ties", protect=[0.4, 0.0, 0.1], slack=0.5, space="core")
    assert one.digest == two.digest
    assert one.recipe == two.recipe
    assert sorted(one.recipe["recipe"]["protect"]) == [0.0, 0.1, 0.4]


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("linear", {"protect": [1, 0]}, "protect needs a method that elects signs, expected one"),
        ("ties", {"protect": [1]}, "found 1 shares to protect for 2 adapters"),
        ("ties", {"protect": [1, 2]}, "expected one share from 0 to 1 per adapter"),
        ("ties", {"protect": 0.1}, "protect is 0.1, expected one share"),
        ("ties", {"protect": [0, 1], "slack": 2}, "slack is 2, expected a number from 0 to 1"),
        ("ties", {"slack": 0.1}, "slack says how far protection may give way; add protect"),
    ],
)
def test_wrong_recipes(method, options, message):
    with pytest.raises(MergeError, match=message):
        check_recipe(method, options, n_adapters=2)


def test_a_recipe_without_protection_is_written_as_before():
    assert "protect" not in check_recipe("ties", {}).as_dict()
    written = check_recipe("ties", {"protect": [0, 0.1], "slack": 0.2}).as_dict()
    assert (written["protect"], written["slack"]) == ([0.0, 0.1], 0.2)
