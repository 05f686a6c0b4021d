"""The small study from packs to tables, in its tiny form."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

STUDY = Path(__file__).parents[2] / "studies" / "small"
PAGE = STUDY.parents[1] / "docs" / "findings.md"
RAW = Path(__file__).parent / "raw"


@pytest.fixture
def study(monkeypatch):
    """Imports a module of the study."""
    import importlib

    monkeypatch.syspath_prepend(str(STUDY))
    return importlib.import_module


def write_pack(folder, task, language, number):
    for split, count in (("train", 12), ("dev", 5), ("test", 8)):
        rows = []
        for i in range(count):
            at = number + i
            text = f"{language} {split} thing {at}"
            if task == "reasoning":
                row = {
                    "id": f"rea-{language}-cur-{split}{i}",
                    "question": text,
                    "choices": ["one", "two", "six"],
                    "answer": at % 3,
                }
            else:
                kind, label = ("top", ("games", "text")[at % 2])
                if task == "sentiment":
                    kind, label = "sen", ("negative", "positive")[at % 2]
                row = {"id": f"{kind}-{language}-{split}{i}", "text": text, "label": label}
            rows.append(json.dumps(row) + "\n")
        path = folder / task / language / f"{split}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(rows), encoding="utf-8")


@pytest.fixture(scope="module")
def packs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packs")
    for task, languages in {
        "topic": ("en", "de", "es", "fr"),
        "reasoning": ("en", "de", "es", "sw"),
        "sentiment": ("en", "zh"),
    }.items():
        for number, language in enumerate(languages):
            write_pack(folder, task, language, number)
    return folder


def run(script, *arguments, cache):
    environment = os.environ | {"LANGMERGE_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, str(STUDY / script), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )


LONG = "long" in (os.environ.get("LANGMERGE_STUDY"), os.environ.get("LANGMERGE_CI"))


def arguments_for(packs, base, folder):
    return [
        "--form", "tiny", "--data", packs, "--base", base, "--work", folder / "work",
        "--raw", folder / "raw" / "tiny",
    ]  # fmt: skip


def made_page(raw, folder):
    """The findings page by blocks, as make.py writes it."""
    page = folder / "docs" / "findings.md"
    page.parent.mkdir(exist_ok=True)
    page.write_text(PAGE.read_text("utf-8"), encoding="utf-8")
    found = run("make.py", "--form", "tiny", "--raw", raw, "--page", page, cache=folder / "cache")
    assert found.returncode == 0, found.stdout + found.stderr
    pattern = re.compile(r"<!-- BEGIN ([\w-]+) -->\n\n(.*?)\n\n<!-- END \1 -->", re.DOTALL)
    return dict(pattern.findall(page.read_text("utf-8")))


def test_when_time_is_over_it_says_so(packs, tiny_base_folder, tmp_path):
    arguments = arguments_for(packs, tiny_base_folder, tmp_path)
    stopped = run("run.py", *arguments, "--minutes", "0", cache=tmp_path / "cache")
    assert stopped.returncode == 3, stopped.stderr


def test_from_raw_results_to_tables(study, tmp_path):
    """The raw results are those of the tiny form on the packs of this file, run once."""
    blocks = made_page(RAW, tmp_path)
    for name, text in blocks.items():
        rows = [line for line in text.splitlines() if line.startswith("|")]
        assert len(rows) > 2, name
        assert "Left out" not in text, name
        assert "nan" not in text.lower(), name
    for name in ("verdict", "curves"):
        assert (tmp_path / "docs" / "images" / f"findings-{name}.svg").exists()
    # From the answers to the table by another way: how many of six are right, in two languages.
    record = json.loads((RAW / "tiny" / "reasoning" / "shared-1.json").read_text("utf-8"))
    first = json.loads((RAW / "tiny" / "reasoning" / "shared-0.json").read_text("utf-8"))
    right = [r["test"]["combined"][code] for r in (first, record) for code in ("de", "en")]
    mean = f"{np.mean(right):.1f}"
    verdict = next(r for r in blocks["verdict"].splitlines() if r.startswith("| reasoning"))
    assert verdict.split(" | ")[3] == mean
    assert "`routed`" in blocks["scores"]
    assert blocks["scores"].count("| `base` (seed 0) |") == 3 == blocks["scores"].count("(seed")
    assert "the merge above minus it" in blocks["from-combined"]
    assert "0.1 MB" in blocks["cost"]  # what both adapters of a task take
    assert made_page(RAW, tmp_path) == blocks


@pytest.mark.timeout(1500)
@pytest.mark.skipif(not LONG, reason="takes minutes; LANGMERGE_STUDY=long or LANGMERGE_CI=long")
def test_from_packs_to_tables(study, packs, tiny_base_folder, tmp_path):
    raw = tmp_path / "raw"
    parts = [name for name in study("parts").PARTS if name != "upkeep"]
    arguments = arguments_for(packs, tiny_base_folder, tmp_path)
    selected = [part for name in parts for part in ("--part", name)]
    found = run("run.py", *arguments, "--minutes", "9", *selected, cache=tmp_path / "cache")
    assert found.returncode == 0, found.stdout + found.stderr
    record = json.loads((raw / "tiny" / "reasoning" / "shared-0.json").read_text("utf-8"))
    assert set(record["test"]["combined"]) == {"en", "de"}
    assert len(record["facts"]["chosen"]["test"]) <= 12
    assert record["facts"]["costs"]["combined"]["tokens"] > 0
    for name, text in made_page(raw, tmp_path).items():
        assert "|" in text, name
    again = run("run.py", *arguments, "--minutes", "9", *selected, cache=tmp_path / "cache")
    assert again.returncode == 0
    assert "training" not in again.stderr  # what is done is not done again


def test_the_page_is_what_the_raw_results_make(tmp_path):
    page = tmp_path / "docs" / "findings.md"
    page.parent.mkdir()
    page.write_text(PAGE.read_text("utf-8"), encoding="utf-8")
    found = run("make.py", "--page", page, cache=tmp_path / "cache")
    assert found.returncode == 0, found.stdout + found.stderr
    assert page.read_text("utf-8") == PAGE.read_text("utf-8")


def test_the_page_has_every_block_and_no_other(study):
    blocks = re.findall(r"<!-- BEGIN ([\w-]+) -->", PAGE.read_text("utf-8"))
    assert blocks == list(study("make").BLOCKS)


def test_a_run_may_be_restricted_to_some_tasks(study):
    run, forms = study("run"), study("forms")
    form = run._restricted(forms.FORMS["cpu"], ["sentiment", "topic"])
    assert form.tasks == ("topic", "sentiment")
    with pytest.raises(SystemExit, match="no summarization; it has reasoning"):
        run._restricted(forms.FORMS["tiny"], ["summarization"])


def test_candidates_are_recipes_and_references_are_among_them(study):
    from langmerge.merging import check_recipe

    forms = study("forms")
    for form in forms.FORMS.values():
        assert form.references.keys() <= form.candidates.keys()
        assert form.init_candidates.keys() <= form.candidates.keys()
        for recipe in form.candidates.values():
            options = dict(recipe)
            check_recipe(options.pop("method"), options, n_adapters=5)
    methods = {recipe["method"] for recipe in forms.FORMS["gpu"].candidates.values()}
    assert len(methods) >= 17


def test_intervals_are_paired_and_cover_seeds(study):
    from langmerge.metrics.base import quotient_metric

    intervals = study("intervals")
    draw = np.random.Generator(np.random.PCG64(0))
    groups = [f"g{i // 2}" for i in range(200)]
    hard = draw.normal(0, 30, 200)

    def model(shift, seeds):
        return {
            s: {
                code: (quotient_metric("value", {}, list(50 + shift + 3 * s + hard)), groups)
                for code in ("de", "en")
            }
            for s in seeds
        }

    found = intervals.draw({"a": model(2, (0, 1, 2)), "b": model(0, (0, 1, 2))})
    assert found["a"].mean.observed == pytest.approx(55 + hard.mean())
    difference = found["a"].mean.minus(found["b"].mean).interval()
    assert difference.low == pytest.approx(2) == difference.high  # nothing is left to chance
    one = intervals.draw({"a": model(2, (1,))})["a"].mean
    wide = found["a"].mean
    # The same rows are drawn for all seeds, so the variances add: that of a mean of three.
    of_seeds = np.array([0.0, 3.0, 6.0]).var(ddof=1) / 3
    assert wide.draws.var() - one.draws.var() == pytest.approx(of_seeds, rel=0.15)
    # Two rows a group that are alike: as wide as of half as many rows.
    assert one.draws.std() == pytest.approx(hard.reshape(100, 2).mean(1).std() / 10, rel=0.1)


@pytest.mark.parametrize("groups", [1, 4, 40])
def test_with_one_seed_intervals_are_the_librarys(study, groups):
    from langmerge.metrics.base import quotient_metric
    from langmerge.statistics import bootstrap_mean

    intervals = study("intervals")
    values = np.random.Generator(np.random.PCG64(1)).normal(50, 10, (2, 2 * groups))
    names = [f"g{i // 2}" for i in range(2 * groups)]
    samples = {
        code: (quotient_metric("value", {}, list(of)), names)
        for code, of in zip(("de", "en"), values, strict=True)
    }
    found = intervals.draw({"a": {0: samples}})["a"].mean.interval()
    expected = bootstrap_mean(samples, seed=0, resamples=intervals.RESAMPLES)
    assert (found.low is None) == (groups == 1)
    assert (
        found == expected
        if groups == 1
        else (found.low, found.high) == pytest.approx((expected.low, expected.high))
    )


def test_a_share_of_what_may_be_nothing_has_no_bounds(study):
    intervals = study("intervals")
    draws = np.full(intervals.RESAMPLES, 40.0)
    some, none = intervals.Value(40.0, draws, 9), intervals.Value(50.0, draws.copy(), 9)
    none.draws[3] = 0.0
    assert some.per_cent_of(intervals.Value(50.0, draws + 10, 9)).interval().low == 80
    found = some.per_cent_of(none).interval()
    assert (found.value, found.low, found.high) == (80, None, None)


def test_a_seeds_weights_vary_as_a_mean_of_seeds_does(study):
    intervals = study("intervals")
    for k in (2, 3, 5):
        counts = np.random.Generator(np.random.PCG64(0)).multinomial(k, [1 / k] * k, size=20000)
        weights = intervals._weights(counts)
        assert weights.sum(axis=1) == pytest.approx(1)
        values = np.arange(k, dtype=float)
        assert (weights @ values).var() == pytest.approx(values.var(ddof=1) / k, rel=0.05)
    assert (intervals._weights(np.ones((3, 1), dtype=int)) == 1).all()


def test_tables_of_made_up_results(study, tmp_path):
    """The merge is right where the combined model is, but for the last 5 of 100 rows in German."""
    gold = [i % 2 for i in range(100)]

    def answers(wrong):
        return [1 - g if i >= 100 - wrong else g for i, g in enumerate(gold)]

    raw = tmp_path / "tiny"
    for language in ("de", "en"):
        rows = {"groups": [f"g{i}" for i in range(100)], "labels": ["no", "yes"], "gold": gold}
        path = raw / "rows" / f"sentiment-{language}-100.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(rows))
    dev = {
        "merged:ties-1": {"de": 70.0, "en": 80.0},
        "merged:mean": {"de": 75.0, "en": 79.0},
        "merged:svc": {"de": 60.0, "en": 90.0},
    }
    test = {
        "combined": {"de": answers(10), "en": answers(10)},
        "best-single": {"de": answers(30), "en": answers(30)},
        "merged:mean": {"de": answers(15), "en": answers(10)},
        "merged:ties-1": {"de": answers(20), "en": answers(20)},
    }
    record = {
        "dev": dev,
        "test": test,
        "recipes": {name.removeprefix("merged:"): {"method": "linear"} for name in dev},
        "facts": {
            "languages": ["de", "en"],
            "chosen": {
                "mean": "mean",
                "heldout": {"de": "ties-1", "en": "mean"},
                "test": ["mean", "ties-1"],
            },
            "costs": {},
        },
        "machine": {"versions": {}, "gpu": None, "cores": 2, "date": "2026-01-01"},
    }
    for seed in (0, 1, 2):
        path = raw / "sentiment" / f"shared-{seed}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record))
    tables, results = study("tables"), study("results")
    made = results.Raw(raw)
    of_task = [r for r in tables.verdict(made).splitlines() if r.startswith("| sentiment")]
    verdict = of_task[0].removesuffix(" |").split(" | ")
    assert verdict[1:4] == ["`mean`", "87.5", "90.0"]
    # Five of 100 rows: 2 to 10 of them in nearly all draws, halved by the other language.
    assert verdict[4] == "-2.5 (-5.0 to -0.5)"
    assert verdict[5].endswith("no")
    assert verdict[6].startswith("97.2%")
    assert of_task[1].startswith("| sentiment | +17.5 (+1")  # against best-single, and no other
    # For English left out, auto takes the mean, which has no row more wrong than TIES' 20.
    left = tables.heldout(made).splitlines()[-1]
    assert left.startswith("| sentiment | of the form | 85.0 | 80.0 | +5.0 (+")
    assert "de `ties-1` +0.0 (+0.0 to +0.0), en `mean` +10.0 (+" in left


def test_a_run_that_has_only_begun_is_left_out_and_named(study, tmp_path):
    """Dev without a choice, a test half asked, and one seed of two: tables, not tracebacks."""
    gold = [0, 1, 0, 1]
    rows = {"groups": ["a", "b", "c", "d"], "labels": ["no", "yes"], "gold": gold}
    for code in ("de", "en"):
        path = tmp_path / "rows" / f"topic-{code}-4.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(rows))
    results, figures = study("results"), study("figures")
    shared = tmp_path / "topic" / "shared-0.json"
    shared.parent.mkdir()
    dev = {"merged:ties-1": {"de": 50.0, "en": 50.0}, "merged:mean": {"de": 50.0}}
    begun = {"dev": dev, "test": {}, "recipes": {}, "facts": {}, "machine": {}}
    for recipe in ("ties-1", "mean"):
        begun["recipes"][recipe] = {"method": recipe}
    chosen = {"mean": "ties-1", "heldout": {"de": "ties-1", "en": "mean"}, "test": ["ties-1"]}
    facts = {"languages": ["de", "en"], "chosen": chosen, "costs": {}}
    asked = {"individual": {"de": gold}, "combined": {"de": gold}}
    whole = {name: {"de": gold, "en": gold} for name in ("combined", "merged:ties-1")}
    for states in (
        [begun],
        [begun | {"facts": {"languages": ["de", "en"]}}],
        [begun | {"facts": facts, "test": asked}],
        [begun | {"facts": facts, "test": {"merged:ties-1": {"de": gold}} | asked}],
        [
            begun | {"facts": facts, "test": whole},
            begun | {"test": {"combined": whole["combined"]}},
        ],
    ):
        for seed, state in enumerate(states):
            shared.with_name(f"shared-{seed}.json").write_text(json.dumps(state))
        made = results.Raw(tmp_path)
        for name, (table, _) in study("make").BLOCKS.items():
            text = table(made)
            if name in ("setup", "verdict", "choosing", "heldout"):
                assert "*Left out, not complete yet: topic.*" in text, name
        figures.draw_all(made, tmp_path / "images")


def test_what_auto_would_choose_without_a_language(study):
    """Of equals the first; the language's own scores do not count; seeds are averaged."""
    choice = study("choice")

    class OfSeed:
        def __init__(self, dev):
            self.content = {"dev": {f"merged:{name}": scores for name, scores in dev.items()}}

    records = [
        OfSeed({"ties-1": {"de": 70, "en": 80}, "mean": {"de": 70, "en": 75}}),
        OfSeed({"ties-1": {"de": 70, "en": 70}, "mean": {"de": 70, "en": 77}}),
    ]
    found = choice.heldout_choices(records, ["ties-1", "mean"])
    assert found == {"de": "mean", "en": "ties-1"}
    assert choice.heldout_choices(records, []) == {}


def test_forms_have_what_auto_has(study):
    from langmerge.merging.auto import CANDIDATES

    forms = study("forms")
    for name in ("gpu", "cpu"):
        assert len(forms.auto_names(forms.FORMS[name])) == len(CANDIDATES)
    for form in forms.FORMS.values():
        assert forms.auto_names(form)[0] == "ties-1"  # what it is compared with
