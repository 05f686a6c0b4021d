"""Merging in place is merging: the same answers as a merged adapter that was saved and loaded."""

from __future__ import annotations

import warnings

import pytest
import torch

from langmerge.adapter import Adapter, LoraFactors
from langmerge.choose.bench import Bench, Unit, entries_of, resident
from langmerge.choose.candidates import Candidate
from langmerge.choose.contest import Contest, individual_scores
from langmerge.choose.journal import Journal
from langmerge.choose.objective import Objective, UnitName
from langmerge.choose.racing import Racing
from langmerge.data import Row
from langmerge.encoding import Encoder
from langmerge.evaluate.predict import predict_rows
from langmerge.examples import Presenter
from langmerge.merging import merge
from langmerge.model import folded
from langmerge.tasks import Classification, Generation

LANGUAGES = ("de", "en")
MODULES = {
    f"model.layers.{layer}.{part}": shape
    for layer in (0, 1)
    for part, shape in (("self_attn.q_proj", (64, 64)), ("mlp.down_proj", (64, 128)))
}
DATA = {"train": "x.jsonl", "dev": "x.jsonl", "test": "x.jsonl"}
CLASSES = Classification(type="classification", labels=("good", "bad"), data=DATA)
WRITING = Generation(type="generation", max_new_tokens=4, data=DATA)


def adapter(seed, folder):
    draw = torch.Generator().manual_seed(seed)
    factors = {
        name: LoraFactors(
            a=torch.randn(3, columns, generator=draw),
            b=torch.randn(rows, 3, generator=draw) * 0.3,
            scale=1 / 3,
        )
        for name, (rows, columns) in MODULES.items()
    }
    Adapter.from_factors(factors, base_model="tiny").save(folder)
    return Adapter.load(folder)


def rows(language, count=16):
    return [
        Row(f"{language}{i}", f"g{i}", {"text": f"{language} text {i}"}, ("good", "bad")[i % 2])
        for i in range(count)
    ]


@pytest.fixture
def adapters(tmp_path):
    return {code: adapter(i, tmp_path / code) for i, code in enumerate(LANGUAGES)}


@pytest.fixture
def bench(tiny_base, adapters):
    kept = {code: resident(found) for code, found in adapters.items()}
    with Bench(tiny_base, {"t": kept}, dict.fromkeys(LANGUAGES, 64)) as bench:
        yield bench


def units(task, racing):
    return [Unit.of(UnitName("t", code), task, rows(code), racing) for code in LANGUAGES]


def test_an_adapter_in_memory_is_the_same_adapter(adapters):
    for found in adapters.values():
        assert resident(found).digest == found.digest  # masks are drawn from it


@pytest.mark.parametrize("task", [CLASSES, WRITING])
@pytest.mark.parametrize(
    "settings",
    [
        {"method": "linear", "lambda": 1.5},
        {"method": "ties", "density": 0.4, "weights": {"de": 2.0, "en": 1.0}},
        {"method": "dare_ties", "density": 0.5, "space": "core"},
        {"method": "knots_ties", "rank": 2, "layer_scales": [0.5, 2.0]},
        {"method": "tsv_m"},
    ],
    ids=lambda settings: settings["method"],
)
def test_answers_are_those_of_the_merged_adapter(bench, adapters, tmp_path, settings, task):
    candidate, racing = Candidate(settings), Racing()
    recipe = candidate.recipe(LANGUAGES, 3)
    weight = bench.base.model.get_submodule("model.layers.0.mlp.down_proj").weight
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        merged = merge(list(adapters.values()), recipe.method, **recipe.as_options())
        Adapter.load(merged.save(tmp_path / "merged"))
        bench.put_on("t", recipe)
    for unit in units(task, racing):
        half = bench.answer(unit, 0, 7)
        found = unit.predictions([*half, *bench.answer(unit, 7, len(unit.rows))])
        bench._take_off()
        encoder = Encoder(bench.base.tokenizer, 64)
        with folded(bench.base, merged):
            presenter = Presenter(task, unit.name.language, encoder)
            expected, _ = predict_rows(bench.base, presenter, unit.rows, 2048)
        bench.put_on("t", recipe)
        assert [p.id for p in found] == [p.id for p in expected]
        assert [p.text for p in found] == [p.text for p in expected]
        for ours, theirs in zip(found, expected, strict=True):
            assert ours.scores == pytest.approx(theirs.scores, abs=2e-3)
    assert bench.size is not None
    written = entries_of(merged)
    assert bench.size == written
    bench._take_off()
    assert bench.base.model.get_submodule("model.layers.0.mlp.down_proj").weight is weight


def contest(bench, journal, objective="mean", racing=None):
    racing = racing or Racing()
    return Contest(bench, units(CLASSES, racing), LANGUAGES, journal, Objective(objective), racing)


def test_what_is_known_is_not_asked_again(bench, tmp_path, monkeypatch):
    candidates = [Candidate({"method": "ties", "density": d}) for d in (0.2, 0.6, 1.0)]
    first = contest(bench, Journal(tmp_path / "j"))
    values = [first.enter(candidate).value for candidate in candidates]
    monkeypatch.setattr(Bench, "put_on", lambda *_: pytest.fail("merged again"))
    again = contest(bench, Journal(tmp_path / "j"))
    assert [again.enter(candidate).value for candidate in candidates] == values
    assert again.best.candidate == first.best.candidate


def test_the_best_of_a_race_is_the_best_of_all(bench):
    """Stopping spares rows, and changes nothing about who wins."""
    candidates = [
        Candidate({"method": "linear", "lambda": factor})
        for factor in (1.0, -3.0, 0.5, 8.0, 2.0, -8.0, 4.0)
    ]
    raced = contest(bench, Journal(None))
    whole = contest(bench, Journal(None), racing=Racing(looks=()))
    for candidate in candidates:
        raced.enter(candidate)
        whole.enter(candidate)
    assert len(whole.ranking()) == len(candidates)
    assert raced.best.value == whole.best.value


def test_the_stopped_can_be_measured_to_the_end(bench, monkeypatch):
    monkeypatch.setattr(Racing, "upper_bound", lambda *_, **__: -1.0)
    found = contest(bench, Journal(None), racing=Racing(looks=(0.8,)))
    found.enter(Candidate({"method": "linear"}))
    stopped = found.enter(Candidate({"method": "ties"}))
    assert (stopped.share, stopped.bound, stopped.is_measured) == (0.8, -1.0, False)
    whole = found.enter(Candidate({"method": "ties"}), to_the_end=True)
    assert whole is stopped
    assert (whole.is_measured, whole.bound) == (True, None)


def test_a_recipe_that_cannot_be_merged_ends_nothing(bench):
    found = contest(bench, Journal(None))
    failed = found.enter(Candidate({"method": "linear", "lambda": 1e38}))
    assert failed.problem is not None
    assert found.enter(Candidate({"method": "linear"})).is_measured


def test_own_adapters_are_measured_on_their_language(bench, adapters):
    found = individual_scores(bench, units(CLASSES, Racing()), Journal(None))
    encoder = Encoder(bench.base.tokenizer, 64)
    bench._take_off()
    for unit in units(CLASSES, Racing()):
        with folded(bench.base, adapters[unit.name.language]):
            presenter = Presenter(CLASSES, unit.name.language, encoder)
            expected, _ = predict_rows(bench.base, presenter, unit.rows, 2048)
        value = CLASSES.measure(expected, unit.name.language)[0].value
        assert found[unit.name] == pytest.approx(value)
