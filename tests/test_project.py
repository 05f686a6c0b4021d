"""The project file: what it accepts, and that every mistake is named with its line and its fix."""

from pathlib import Path

import pytest

from langmerge.data import HubSource
from langmerge.errors import ProjectError
from langmerge.project import Project, load_project

MINIMAL = """\
base: ./base
languages: [en, de]
tasks:
  sentiment:
    type: classification
    labels: [negative, positive]
    data: data/{language}/{split}.jsonl
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "langmerge.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def load(folder: Path, text: str) -> Project:
    return load_project(write(folder, text))


def test_minimal_project_gets_defaults(tmp_path: Path) -> None:
    project = load(tmp_path, MINIMAL)

    assert list(project.languages) == ["en", "de"]
    assert project.merge["ties"].checked().method == "ties"
    assert project.compare == ("base", "individual", "best-single", "combined")
    assert project.folder == tmp_path
    sources = project.data_for("sentiment", "de").sources("de", project.folder)
    assert sources["dev"].path == tmp_path / "data/de/dev.jsonl"


def test_a_language_overrides_sections_and_data(tmp_path: Path) -> None:
    project = load(
        tmp_path,
        MINIMAL.replace(
            "languages: [en, de]",
            "adapter: {r: 8}\n"
            "languages:\n  en:\n  de: {adapter: {lora_alpha: 64}, train: {learning_rate: 1e-5},"
            " data: {sentiment: {train: a.csv, dev: b.csv, test: c.csv}}}",
        ),
    )

    assert (project.adapter_for("de").r, project.adapter_for("de").lora_alpha) == (8, 64)
    assert project.adapter_for("en").lora_alpha == project.adapter_for(None).lora_alpha == 32
    assert project.train_for("de").learning_rate == 1e-5
    assert project.data_for("sentiment", "de").train == "a.csv"


@pytest.mark.parametrize("short", ["DTS", "{method: DTS}", "[DTS]"])
def test_short_forms_of_merge(tmp_path: Path, short: str) -> None:
    project = load(tmp_path, MINIMAL + f"merge: {short}\n")

    assert project.merge["DTS"].checked().method == "dare_ties"


@pytest.mark.parametrize(
    ("change", "line", "expected"),
    [
        (("base:", "bse:"), None, "unknown key 'bse'; did you mean 'base'?"),
        (("labels:", "lables:"), 6, "unknown key 'lables'; did you mean 'labels'?"),
        (("classification", "clasification"), 4, "classification"),
        (("[en, de]", "[en, en]"), 2, "'en' is listed twice"),
        (("[en, de]", "[en, no]"), 2, "'no', in quotes"),
        (("[en, de]", "[en, ../up]"), 2, "'../up' is not a name"),
        (("{language}/{split}.jsonl", "all.jsonl"), 7, "one file for three splits"),
        (("[negative, positive]", "[yes, 'no', yes]"), 6, "labels"),
    ],
)
def test_mistakes_are_named_with_line_and_fix(
    tmp_path: Path, change: tuple[str, str], line: int | None, expected: str
) -> None:
    with pytest.raises(ProjectError) as caught:
        load(tmp_path, MINIMAL.replace(*change))

    message = str(caught.value)
    assert expected in message
    assert str(tmp_path / "langmerge.yaml") in message
    if line is not None:
        assert f"langmerge.yaml:{line}:" in message


@pytest.mark.parametrize(
    ("addition", "expected"),
    [
        ("train: {learning_rat: 1}", "did you mean 'learning_rate'?"),
        ("train: {learning_rate: fast}", "train.learning_rate"),
        ("adapter: {r: 0}", "adapter.r"),
        ("merge: {a: {method: tise}}", "did you mean 'ties'?"),
        ("merge: {a: {method: ties, density: 2}}", "density"),
        ("merge: {a: {method: ties, densty: 0.5}}", "did you mean 'density'?"),
        ("merge: {a: {method: ties, weights: {dee: 1}}}", "unknown language 'dee'"),
        ("merge: {a: {method: ties, protect: {dee: 1}}}", "unknown language 'dee'"),
        ("merge: {a: {method: mean, protect: {de: 1}}}", "protect needs a method that elects"),
        ("merge: [mean, [ties]]", "found ['ties'] in the list, expected names of methods"),
        ("merge: {method: [ties]}", "merge.method"),
        ("compare: [combinde]", "combined"),
        ("seeds: []", "seeds"),
        ("base: other", "'base' stands twice (also in line 1)"),
    ],
)
def test_mistakes_in_other_sections(tmp_path: Path, addition: str, expected: str) -> None:
    with pytest.raises(ProjectError, match=r"langmerge\.yaml") as caught:
        load(tmp_path, MINIMAL + addition + "\n")

    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("recipe", "weights", "protect"),
    [
        ("{method: linear, weights: {de: 0}}", (1.0, 0.0), None),
        ("{method: linear, weights: {}}", (1.0, 1.0), None),
        ("{method: ties, protect: {de: 0.1}}", None, (0.0, 0.1)),
        ("{method: ties, protect: {de: 0}, slack: 0.1}", None, None),
    ],
)
def test_languages_that_a_recipe_does_not_name_count_as_usual(
    tmp_path: Path, recipe: str, weights: tuple[float, ...] | None, protect: object
) -> None:
    project = load(tmp_path, MINIMAL + f"merge: {{a: {recipe}}}\n")

    checked = project.merge["a"].checked(list(project.languages))
    assert (checked.weights, checked.protect) == (weights, protect)


@pytest.mark.parametrize("weights", ["{en: 0, de: 0}", "{de: -1}"])
def test_weights_of_all_languages_are_judged_together(tmp_path: Path, weights: str) -> None:
    with pytest.raises(ProjectError, match=r"merge\.a: linear: the weights add up to 0") as caught:
        load(tmp_path, MINIMAL + f"merge: {{a: {{method: linear, weights: {weights}}}}}\n")

    assert len(str(caught.value).splitlines()) == 1


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(ProjectError) as caught:
        load(tmp_path, MINIMAL + "train: {max_length: -1}\nadapter: {r: x}\n")

    assert len(str(caught.value).splitlines()) == 2


def test_hub_base_needs_a_commit(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="'main' can move"):
        load(tmp_path, MINIMAL.replace("./base", "{model: a/b, revision: main}"))


def test_best_single_needs_dev(tmp_path: Path) -> None:
    text = MINIMAL.replace("data: data/{language}/{split}.jsonl", "data: {train: a, test: b}")

    with pytest.raises(ProjectError, match="chooses on dev"):
        load(tmp_path, text)
    assert load(tmp_path, text + "compare: [base]\n").compare == ("base",)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "found nothing"),
        (b"- a\n", "found list"),
        (b"a: [1\n", "langmerge.yaml:"),
        (b"a: \xff\n", "not UTF-8"),
        (b"!!python/object/apply:os.system [ls]\n", "could not determine a constructor"),
    ],
)
def test_files_that_are_no_project(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "langmerge.yaml"
    path.write_bytes(content)

    with pytest.raises(ProjectError) as caught:
        load_project(path)
    assert expected in str(caught.value)


def test_missing_file_names_init(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="langmerge init"):
        load_project(tmp_path / "langmerge.yaml")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("[en, de]", "[en, combined]"), "'combined' is the name of a model"),
        (("[en, de]", "{en: {train: {dtype: bfloat16}}}"), "set train.dtype instead"),
        (("[en, de]", "{en: {train: {learning_rat: 1}}}"), "languages.en.train: unknown key"),
        (("[negative, positive]", '[a, b]\n    prompt: "no field"'), "has no field"),
        (("[negative, positive]", "[a, b]\n    prompt: {{text}}"), "in quotes"),
        (
            ("data: data/{language}/{split}.jsonl", "data: {hub: {path: a, splits: {train: x}}}"),
            "test",
        ),
    ],
)
def test_mistakes_that_would_show_late(
    tmp_path: Path, change: tuple[str, str], expected: str
) -> None:
    with pytest.raises(ProjectError) as caught:
        load(tmp_path, MINIMAL.replace(*change))
    assert expected in str(caught.value)


def test_repeated_seeds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="seeds repeat"):
        load(tmp_path, MINIMAL + "seeds: [0, 0]\n")


def test_a_task_may_have_more_seeds_than_others(tmp_path: Path) -> None:
    more = MINIMAL.replace("    type:", "    seeds: [0, 1]\n    type:")

    assert load(tmp_path, MINIMAL).seeds_for("sentiment") == (0,)
    assert load(tmp_path, more).seeds_for("sentiment") == (0, 1)
    with pytest.raises(ProjectError, match=r"tasks\.sentiment\.seeds: begins with 0, .* with 7"):
        load(tmp_path, more + "seeds: [7]\n")
    with pytest.raises(ProjectError, match="seeds repeat: 0, 0"):
        load(tmp_path, more.replace("[0, 1]", "[0, 0]"))


def test_a_hub_data_set_is_pinned_or_local(tmp_path: Path) -> None:
    hub = "data: {hub: {path: somebody/set, name: '{language}'}}"
    project = load(tmp_path, MINIMAL.replace("data: data/{language}/{split}.jsonl", hub))

    with pytest.raises(ProjectError, match="no revision"):
        project.data_for("sentiment", "de").sources("de", tmp_path)

    (tmp_path / "somebody" / "set").mkdir(parents=True)
    source = project.data_for("sentiment", "de").sources("de", tmp_path)["dev"]
    assert source == HubSource(
        str(tmp_path / "somebody/set"), name="de", split="validation", revision=None
    )
