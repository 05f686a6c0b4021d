"""Every recipe on a sample in its set's real layout: the project passes `check`, nothing leaks."""

import hashlib
import json
import re
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from recipes.samples import SAMPLES, write_sample
from typer.testing import CliRunner

from langmerge.cli import app
from langmerge.cli.run import run_project
from langmerge.errors import DataError, UserError
from langmerge.project import load_project
from langmerge.recipes import RECIPES, recipe_named
from langmerge.recipes.debian_descriptions import paragraphs
from langmerge.recipes.recipe import Fetched, Origin
from langmerge.recipes.splitting import assign, split_of, thinned
from langmerge.recipes.writing import _project, write_project


def invoke(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(each) for each in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def rows_of(folder: Path) -> dict[tuple[str, str], list[dict]]:
    """Return the rows of a written project by language and split."""
    return {
        (path.parent.name, path.stem): [json.loads(line) for line in path.open(encoding="utf-8")]
        for path in folder.glob("data/*/*/*.jsonl")
    }


def assert_no_group_straddles(folder: Path) -> None:
    splits = defaultdict(set)
    for (_, split), rows in rows_of(folder).items():
        for row in rows:
            splits[row["group"]].add(split)
    assert splits
    assert {group: found for group, found in splits.items() if len(found) > 1} == {}


@pytest.mark.parametrize("name", SAMPLES)
def test_a_recipe_on_a_sample_of_its_set(name: str, tmp_path: Path, tiny_base_folder: Path) -> None:
    pytest.importorskip("datasets")
    recipe = RECIPES[name]
    languages = tuple(recipe.languages)[:2]
    if name == "wiki-lingua":
        languages = ("en", "de")
    if recipe.hub is not None and recipe.hub.language:
        languages = ("de", "fr")
    sample = write_sample(recipe, tmp_path / "sample", languages)
    folder = tmp_path / "project"

    shown = invoke(
        "init", folder, "--recipe", name, "--languages", ",".join(languages), "--source", sample,
        "--base", tiny_base_folder,
    )  # fmt: skip
    checked = invoke("check", "--project", folder / "langmerge.yaml")

    assert recipe.licence in shown
    assert "error" not in checked
    project = load_project(folder / "langmerge.yaml")
    assert list(project.languages) == list(languages)
    assert project.tasks[recipe.task_name].type == recipe.task
    assert_no_group_straddles(folder)
    assert "also stand in train" not in checked
    assert recipe.leakage in (folder / "SOURCE.md").read_text()


def test_translations_of_an_article_are_in_one_split(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    recipe = RECIPES["wiki-lingua"]
    sample = write_sample(recipe, tmp_path / "sample", ("en", "de"))

    write_project(recipe, tmp_path / "p", ["en", "de"], Origin(sample))

    rows = rows_of(tmp_path / "p")
    for split in ("train", "dev", "test"):
        assert {row["group"] for row in rows["en", split]} == {
            row["group"] for row in rows["de", split]
        }
    train = rows["de", "train"][0]
    assert set(train) == {"id", "group", "text", "summary"}
    assert train["group"].startswith("https://www.wikihow.com/")
    again = rows_of(tmp_path / "p")
    assert again == rows


def test_an_article_in_two_splits_stays_in_the_stricter(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    recipe = RECIPES["xlsum"]
    sample = write_sample(recipe, tmp_path / "sample", ("am",))

    counts = write_project(recipe, tmp_path / "p", ["am"], Origin(sample))

    assert counts["am"] == {"train": 7, "dev": 4, "test": 4}


def test_labels_are_read_by_name_whatever_the_order(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    recipe = RECIPES["afrisenti"]
    sample = write_sample(recipe, tmp_path / "sample", ("ha",))
    write_project(recipe, tmp_path / "p", ["ha"], Origin(sample))

    rows = sorted(rows_of(tmp_path / "p")["ha", "test"], key=lambda row: row["text"])
    assert [row["label"] for row in rows[:3]] == ["positive", "neutral", "negative"]


def test_nothing_half_made_stays_behind_an_error(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    recipe = RECIPES["afrisenti"]
    sample = write_sample(recipe, tmp_path / "sample", ("ha", "ig"))
    empty = datasets.Dataset.from_list([{"tweet": " ", "label": "positive"}])
    empty.to_parquet(sample / "ibo/validation/0000.parquet")

    with pytest.raises(DataError, match="no row of ig came to dev; leave the language out"):
        write_project(recipe, tmp_path / "p", ["ha", "ig"], Origin(sample))
    assert not (tmp_path / "p").exists()


def test_answers_counted_from_one(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    recipe = RECIPES["xstory-cloze"]
    sample = write_sample(recipe, tmp_path / "sample", ("en",))
    write_project(recipe, tmp_path / "p", ["en"], Origin(sample))

    for row in rows_of(tmp_path / "p")["en", "test"]:
        number = int(row["choices"][0].rstrip(".").rsplit(" ", 1)[1])
        assert row["answer"] == number % 2
        assert row["question"].count("line") == 4


def test_a_column_that_is_gone_is_said_to_be(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    folder = tmp_path / "sample/amharic/train"
    folder.mkdir(parents=True)
    table = datasets.Dataset.from_list([{"article": "a", "summary": "b"}])
    table.to_parquet(folder / "0000.parquet")

    with pytest.raises(DataError, match=r"no column 'text'.*--revision"):
        write_project(RECIPES["xlsum"], tmp_path / "p", ["am"], Origin(tmp_path / "sample"))
    assert not (tmp_path / "p").exists()


def test_recipes_are_listed_and_shown() -> None:
    shown = invoke("recipes")
    for name in RECIPES:
        assert name in shown
    as_json = json.loads(invoke("recipes", "--json"))
    assert {each["name"] for each in as_json} == set(RECIPES)
    assert "CC BY-NC-SA 3.0" in invoke("recipes", "wiki-lingua")
    assert json.loads(invoke("recipes", "xcopa", "--json"))["hub"]["path"] == "cambridgeltl/xcopa"
    with pytest.raises(UserError, match="did you mean 'xcopa'"):
        recipe_named("xcopaa")


def test_every_recipe_is_complete() -> None:
    for name, recipe in RECIPES.items():
        assert recipe.name == name
        assert recipe.licence
        assert recipe.page.startswith("https://")
        for shares in recipe.parts.values():
            assert sum(shares.values()) == pytest.approx(1)
        assert {split for shares in recipe.parts.values() for split in shares} == {
            "train",
            "dev",
            "test",
        }
        if recipe.hub is not None and re.fullmatch("[0-9a-f]{40}", recipe.hub.revision) is None:
            assert recipe.hub.revision == "refs/convert/parquet"
            assert "--revision" in recipe.schema
            assert recipe.hub.files is not None
        assert bool(recipe.labels) == (recipe.task == "classification")


def test_mistakes_are_named(tmp_path: Path) -> None:
    def error(*options: str) -> str:
        with pytest.raises(UserError) as caught:
            CliRunner().invoke(app, ["init", str(tmp_path / "p"), *options], catch_exceptions=False)
        return str(caught.value)

    cldr = ("--recipe", "cldr-questions")
    assert "--languages is missing" in error(*cldr)
    assert "did you mean 'sw'?" in error(*cldr, "--languages", "swa")
    assert "--set mirror: cldr-questions has no such option" in error(
        *cldr, "--languages", "en", "--set", "mirror=x"
    )
    assert "expected NAME=VALUE" in error(*cldr, "--languages", "en", "--set", "mirror")
    assert "40 hex digits" in error(*cldr, "--languages", "en", "--base", "org/model@main")
    assert "no such folder" in error(*cldr, "--languages", "en", "--source", "nowhere")
    assert "--languages goes with --recipe" in error("--languages", "en")


def test_cldr_questions_end_with_a_project_that_trains(
    tmp_path: Path, tiny_base_folder: Path
) -> None:
    pytest.importorskip("babel")
    folder = tmp_path / "p"
    invoke(
        "init", folder, "--recipe", "cldr-questions", "--languages", "en,sw",
        "--base", tiny_base_folder, "--rows", 40,
    )  # fmt: skip
    path = folder / "langmerge.yaml"
    checked = invoke("check", "--project", path)
    assert "also stand in train" not in checked
    content = yaml.safe_load(path.read_text())
    content["train"] |= {"max_steps": 1, "per_device_train_batch_size": 2}
    content["evaluate"] = {"resamples": 100}
    content["compare"] = ["individual"]
    path.write_text(yaml.safe_dump(content))

    outcome = run_project(path)

    assert outcome.of("failed", "skipped") == []
    assert_no_group_straddles(folder)


def test_cldr_questions_are_the_same_facts_in_every_language(tmp_path: Path) -> None:
    babel = pytest.importorskip("babel")
    write_project(RECIPES["cldr-questions"], tmp_path / "p", ["sw", "de", "ru"], Origin())
    rows = rows_of(tmp_path / "p")

    days = {
        language: [row for row in rows[language, "train"] if row["group"].startswith("day-")]
        for language in ("sw", "de", "ru")
    }
    assert [row["answer"] for row in days["sw"]] == [row["answer"] for row in days["de"]]
    for language, found in days.items():
        names = list(babel.Locale(language).days["format"]["wide"].values())
        folded = {name.casefold() for name in names}
        for row in found:
            _, start, steps = row["group"].split("-")
            assert {choice.casefold() for choice in row["choices"]} <= folded, row
            right = babel.Locale(language).days["format"]["wide"][(int(start) + int(steps)) % 7]
            assert row["choices"][row["answer"]].casefold() == right.casefold()
    kenya = {
        language: next(
            row
            for split in ("train", "dev", "test")
            for row in rows[language, split]
            if row["group"] == "country-KE" and len(row["choices"]) == 4
        )
        for language in ("sw", "de")
    }
    assert kenya["sw"]["answer"] == kenya["de"]["answer"]


def test_cldr_never_offers_a_language_that_is_spoken_there() -> None:
    pytest.importorskip("babel")
    from babel.core import get_global

    from langmerge.recipes.cldr_questions import _COUNTRIES, _Facts

    facts, spoken = _Facts(), get_global("territory_languages")
    assert len(_COUNTRIES) == len(set(_COUNTRIES)) == 193
    for country in _COUNTRIES:
        own = {code.partition("_")[0] for code in spoken.get(country, {})}
        assert own.isdisjoint(facts.wrong_languages(country))
        assert facts.currency(country) not in facts.wrong_currencies(country)
    assert facts.currency("KE") == "KES"
    assert facts.continent("KE") == "002"
    assert facts.language("BR") == "pt"
    assert facts.language("CH") is None


def make_mirror(root: Path) -> Path:
    """Write a mirror of a release with a few made-up packages."""
    import gzip

    dists = root / "dists/bookworm"
    packages, translations, german = [], [], []
    for n in range(40):
        source = f"Source: tool{n // 2} (1.{n})\n" if n % 2 else f"Source: tool{n // 2}\n"
        packages.append(f"Package: tool{n}\n{source}Section: utils\nVersion: {n}\n")
        for found, code, text in (
            (translations, "en", "This tool counts the files of a folder and sorts them by size."),
            (german, "de", "Dieses Werkzeug zählt die Dateien eines Ordners, nach Größe sortiert."),
        ):
            found.append(
                f"Package: tool{n}\nDescription-md5: {n:032x}\n"
                f"Description-{code}: {code} counter number {n}\n {text}\n"
                f" It is tool {n} of a made-up set, and has no other use.\n .\n  * a list\n"
            )
    packages.append("Package: libtool\nSection: libs\n")
    translations.append(
        "Package: libtool\nDescription-en: a library\n A library that is left out, being in a "
        "section of\n libraries, whose descriptions repeat those of their tools.\n"
    )
    files = {
        "main/binary-amd64/Packages.gz": "\n".join(packages),
        "main/i18n/Translation-en.gz": "\n".join(translations),
        "main/i18n/Translation-de.gz": "\n".join(german),
    }
    lines = []
    for name, text in files.items():
        content = gzip.compress(text.encode(), mtime=0)
        (dists / name).parent.mkdir(parents=True, exist_ok=True)
        (dists / name).write_bytes(content)
        lines.append(f" {hashlib.sha256(content).hexdigest()} {len(content)} {name}")
    release = "Origin: Debian\nCodename: bookworm\nSHA256:\n" + "\n".join(lines) + "\n"
    (dists / "Release").write_text(release)
    return root


def test_debian_descriptions_from_a_mirror(
    tmp_path: Path, tiny_base_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANGMERGE_CACHE", str(tmp_path / "cache"))
    mirror = make_mirror(tmp_path / "mirror")
    options = (
        "--recipe", "debian-descriptions", "--languages", "en,de", "--base", tiny_base_folder,
        "--set", "release=bookworm", "--set", f"mirror={mirror.as_uri()}",
    )  # fmt: skip

    shown = invoke("init", tmp_path / "p", *options)
    assert shown.count("Fetching") == 3
    assert "MB)" in shown
    invoke("check", "--project", tmp_path / "p/langmerge.yaml")
    rows = rows_of(tmp_path / "p")
    row = rows["de", "train"][0]
    assert row["summary"].startswith("de counter number")
    assert row["text"].startswith("Dieses Werkzeug zählt")
    assert "\n" not in row["text"]
    assert sum(len(of) for (language, _), of in rows.items() if language == "en") == 40
    assert_no_group_straddles(tmp_path / "p")
    assert "mirror: file://" in (tmp_path / "p/SOURCE.md").read_text()

    # The second time nothing is fetched but the list of what there is.
    assert "Fetching" not in invoke("init", tmp_path / "q", *options)
    for path in (tmp_path / "cache").rglob("*"):
        if path.is_file():
            path.write_bytes(b"damaged")
    assert "Fetching" in invoke("init", tmp_path / "r", *options)
    (mirror / "dists/bookworm/main/i18n/Translation-de.gz").write_bytes(b"changed")
    for path in (tmp_path / "cache").rglob("*"):
        if path.is_file():
            path.unlink()
    with pytest.raises(DataError, match="Release says"):
        CliRunner().invoke(
            app, ["init", str(tmp_path / "s"), *map(str, options)], catch_exceptions=False
        )


def test_control_files_are_read_by_paragraph() -> None:
    text = "Package: a\nDescription-en: short\n first line\n .\n second line\n\n\nPackage: b\n"

    assert list(paragraphs(text)) == [
        {"Package": "a", "Description-en": "short\nfirst line\n\nsecond line"},
        {"Package": "b"},
    ]


def test_a_groups_split_is_drawn_by_its_name_alone() -> None:
    shares = {"train": 0.7, "dev": 0.1, "test": 0.2}
    drawn = [split_of(f"group-{n}", shares, "x") for n in range(4000)]

    for split, share in shares.items():
        assert drawn.count(split) / 4000 == pytest.approx(share, abs=0.03)
    assert drawn[:50] == [split_of(f"group-{n}", shares, "x") for n in range(50)]
    assert drawn != [split_of(f"group-{n}", shares, "y") for n in range(4000)]


def test_copies_of_a_row_are_left_out() -> None:
    rows = [Fetched("all", f"g{n}", {"text": "the same  TEXT", "label": "x"}) for n in range(30)]

    found = assign({"en": rows}, {"all": {"train": 0.5, "dev": 0.2, "test": 0.3}}, "x")["en"]

    assert sum(map(len, found.values())) == 1


def test_thinning_keeps_the_same_groups_in_every_language() -> None:
    english = [Fetched("all", f"g{n}", {"text": f"one {n}"}) for n in range(30)]
    german = [Fetched("all", f"g{n}", {"text": f"eins {n}"}) for n in reversed(range(30))]

    kept = [[row.group for row in thinned(rows, 7, "x")] for rows in (english, german)]

    assert kept[0] == kept[1]
    assert len(kept[0]) == 7


def test_labels_stay_words_in_yaml():
    labels = ("yes", "no", "null", "1", "a: b", "größer")
    made = replace(RECIPES["masakhanews"], labels=labels)
    task = yaml.safe_load(_project(made, ["en"], '"base"'))["tasks"][made.task_name]
    assert task["labels"] == list(labels)
