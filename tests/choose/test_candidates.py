"""Grids and neighbours, read from whatever methods are registered."""

from __future__ import annotations

import pytest

from langmerge.choose.candidates import DENSITIES, Candidate, grid, neighbours
from langmerge.errors import MergeError
from langmerge.merging import methods


def names(candidates):
    return {candidate.settings["method"] for candidate in candidates}


def test_every_method_takes_part_with_what_it_has():
    found = grid(3)
    builds = {info.name: info.build for info in methods()}
    assert {builds[name] for name in names(found)} == set(builds.values())
    ties = [c.settings for c in found if c.settings["method"] == "ties"]
    assert [s["density"] for s in ties] == list(DENSITIES)
    assert all(c.recipe(("a", "b", "c")) for c in found)


def test_a_sum_is_also_tried_as_a_mean():
    lambdas = [c.settings.get("lambda") for c in grid(4, only=["task_arithmetic"])]
    assert lambdas == [None, 0.5, 0.25]


def test_filters_are_a_full_product():
    found = grid(2, only=["ties", "mean"], densities=[0.2, 0.4], lambdas=[1, 2], spaces=["core"])
    assert len(found) == 4 + 2
    assert {c.settings["space"] for c in found} == {"core"}


def test_a_method_that_works_in_no_such_space_is_left_out():
    whole = next(info for info in methods() if len(info.spaces) == 1)
    other = next(space for space in ("svd", "core") if space not in whole.spaces)
    found = grid(2, only=[whole.name, "ties"], spaces=[other])
    assert names(found) == {"ties"}
    assert {c.settings["space"] for c in grid(2, spaces=[other])} == {other}
    with pytest.raises(MergeError, match=f"no method works in {other} .{whole.name} in"):
        grid(2, only=[whole.name], spaces=[other])
    with pytest.raises(MergeError, match="did you mean 'core'"):
        grid(2, spaces=["cores"])


def test_the_same_recipe_in_other_words_is_one_candidate():
    ours = Candidate({"method": "TIES", "density": 1.0, "space": "svd"})
    theirs = Candidate({"method": "knots"})
    assert ours.key(("a", "b")) == theirs.key(("a", "b"))
    assert ours.key(("a", "b")) != Candidate({"method": "ties"}).key(("a", "b"))


def test_weights_belong_to_languages_not_places():
    weighted = Candidate({"method": "linear", "weights": {"a": 2.0, "b": 1.0}})
    assert weighted.key(("a", "b")) == weighted.key(("b", "a"))


def test_neighbours_are_other_lambdas_and_spaces():
    start = Candidate({"method": "ties", "density": 0.5, "lambda": 2.0})
    found = [c.settings for c in neighbours([start])]
    assert {s["lambda"] for s in found if "space" not in s} == {1.2, 1.6, 2.5, 3.2}
    assert {s["space"] for s in found if "space" in s} == {"svd", "core"}
    assert all(s["density"] == 0.5 for s in found)


def test_labels_leave_out_defaults():
    settings = {"method": "ties", "density": 0.30000001, "lambda": 1.0, "weights": {"de": 1.5}}
    assert Candidate(settings).label == "ties density=0.3 weights=de:1.5"


def test_wrong_filters_are_refused():
    with pytest.raises(MergeError, match="no merging method is named 'tise'"):
        grid(2, only=["tise"])
    with pytest.raises(MergeError, match="density is 0"):
        grid(2, only=["ties"], densities=[0.0])
