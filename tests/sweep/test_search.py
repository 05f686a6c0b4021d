"""Trials: every proposal is a valid recipe, and the same seed proposes the same."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest

from langmerge.choose.candidates import Candidate
from langmerge.choose.contest import Contestant
from langmerge.merging import methods

optuna = pytest.importorskip("optuna")
from langmerge.sweep.search import search  # noqa: E402

LANGUAGES = ("de", "en", "fr")


@dataclass
class Judged:
    """A contest whose answers are a formula: lambda 1.2 and density 0.4 are best."""

    languages: tuple[str, ...] = LANGUAGES
    entered: list[Candidate] = field(default_factory=list)

    def enter(self, candidate):
        self.entered.append(candidate)
        recipe = candidate.recipe(LANGUAGES)  # raises where a proposal is no recipe
        density = recipe.parameters.get("density", 1.0)
        factor = recipe.parameters.get("lambda_", 1.0)
        value = 60 - 10 * abs(math.log(abs(factor) / 1.2)) - 10 * abs(density - 0.4)
        found = Contestant(candidate, candidate.key(LANGUAGES), value=value, share=1.0)
        if value < 35:
            found.share, found.bound = 0.25, -3.0
        if value < 25:
            found.problem = "not possible"
        return found


def test_every_method_is_proposed_with_valid_parameters():
    found = Judged()
    search(found, 60, seed=1)
    assert {c.settings["method"] for c in found.entered} <= {info.name for info in methods()}
    assert len({c.settings["method"] for c in found.entered}) >= min(len(methods()), 6)
    assert any("weights" in c.settings for c in found.entered)
    assert any("layer_scales" in c.settings for c in found.entered)


def test_the_same_seed_proposes_the_same():
    one, two, other = Judged(), Judged(), Judged()
    search(one, 15, seed=3)
    search(two, 15, seed=3)
    search(other, 15, seed=4)
    assert [c.settings for c in one.entered] == [c.settings for c in two.entered]
    assert [c.settings for c in one.entered] != [c.settings for c in other.entered]


def test_what_is_known_to_be_good_comes_first():
    found = Judged()
    own = [
        Candidate({"method": "ties", "density": 0.6, "weights": dict.fromkeys(LANGUAGES, 2.0)}),
        Candidate({"method": "linear", "lambda": 0.7}),
    ]
    search(found, 4, start=own, seed=0)
    for ours, tried in zip(own, found.entered, strict=False):
        assert ours.key(LANGUAGES) == tried.key(LANGUAGES)
    assert len(found.entered) == 4


def test_later_trials_are_better_than_chance():
    found = Judged()
    search(found, 50, only=["ties"], seed=0)
    values = [found.enter(candidate).value for candidate in found.entered[:50]]
    assert sum(values[-15:]) > sum(values[:10]) / 10 * 15
