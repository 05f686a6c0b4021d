"""What is shown side by side is what `langmerge predict` and `langmerge merge` say."""

from pathlib import Path

import pytest
from projects import make_project

from langmerge.adapter import Adapter
from langmerge.errors import LangmergeError, MergeError, ProjectError
from langmerge.merging import merge
from langmerge.model import folded
from langmerge.predict import answer, answer_with
from langmerge.selection import select
from langmerge.serve import merges as merges_module
from langmerge.serve.comparing import Cell, Comparer, Comparison, Question
from langmerge.serve.merges import Choice
from langmerge.serve.table import describe, problem_html, to_html
from langmerge.workspace import open_workspace

QUESTION = Question("classification", ("de", "en"), "a text")


def test_every_model_says_what_predict_says(comparer: Comparer, served: Path) -> None:
    found = comparer.compare(QUESTION, Choice("ties"))

    assert found.models == ("base", "individual", "combined", "merged")
    for language in QUESTION.languages:
        for model in found.models:
            name = "merged:ties" if model == "merged" else model
            selection = select(served, task="classification", language=language, model=name)
            (expected,) = answer(selection, ["a text"])
            said = found.cells[language, model].answer
            assert said is not None
            assert said.answer == expected.answer
            assert said.probabilities == pytest.approx(expected.probabilities)


def test_another_density_is_merged_on_demand_and_once(
    comparer: Comparer, served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def counted(*arguments, **options):
        made.append(options)
        return merge(*arguments, **options)

    monkeypatch.setattr(merges_module, "merge", counted)
    steps: list[str] = []
    question = Question("classification", ("de",), "a text")

    comparer.compare(question, Choice("ties"))
    assert not made  # a run made it
    found = comparer.compare(
        question, Choice("ties", density=0.25), lambda share, what: steps.append(what)
    )
    comparer.compare(question, Choice("ties", density=0.25))
    assert len(made) == 1
    assert {"merging", "asking merged in de"} <= set(steps)

    folders = [
        select(served, task="classification", language=language, model="individual").adapter
        for language in ("de", "en")
    ]
    expected = merge([f for f in folders if f is not None], "ties", density=0.25)
    selection = select(served, task="classification", language="de", model="base")
    assert comparer._base is not None
    with folded(comparer._base, expected) as base:
        said = answer_with(base, selection, "a text")
    assert found.cells["de", "merged"].answer == said


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (Choice("ties"), {"method": "ties", "density": 0.5, "weights": None}),
        (Choice("ties", density=0.3, scale=0.7), {"density": 0.3, "lambda": 0.7}),
        (Choice("mean", density=0.3), {"method": "linear", "weights": [2.0, 1.0]}),
        (Choice("mean", "ties", 0.3), {"method": "ties", "density": 0.3, "weights": [2.0, 1.0]}),
        (Choice("ties", "dare_ties"), {"method": "dare_ties", "density": 0.8}),
    ],
)
def test_a_recipe_is_the_projects_with_what_was_turned(
    comparer: Comparer, choice: Choice, expected: dict[str, object]
) -> None:
    found = comparer.merges.recipe(choice, "classification").as_dict()
    assert expected.items() <= found.items()


def test_merges_are_forgotten_in_their_order(comparer: Comparer) -> None:
    merges = merges_module.Merges(comparer.project, comparer._models)
    for density in (0.1, 0.2, 0.3, 0.4, 0.6, 0.7):
        recipe = merges.recipe(Choice("ties", density=density), "classification")
        merges.adapter(recipe, "classification", lambda done, total: None)
    assert len(merges._kept) == 4


@pytest.mark.parametrize(
    ("question", "choice", "expected"),
    [
        (Question("classification", ("de",), "  "), Choice("ties"), "there is no text"),
        (Question("classification", (), "x"), Choice("ties"), "no language"),
        (Question("classification", ("fr",), "x"), Choice("ties"), "no such language"),
        (Question("other", ("de",), "x"), Choice("ties"), "task 'other'"),
        (Question("multiple_choice", ("de",), "x", ("a",)), Choice("ties"), "two choices"),
        (Question("classification", ("de",), "x"), Choice("tie"), "did you mean 'ties'"),
    ],
)
def test_a_wrong_question_is_explained(
    comparer: Comparer, question: Question, choice: Choice, expected: str
) -> None:
    with pytest.raises(ProjectError, match=expected):
        comparer.compare(question, choice)


def test_a_wrong_density_is_explained(comparer: Comparer) -> None:
    with pytest.raises(MergeError, match="density"):
        comparer.compare(QUESTION, Choice("ties", density=7.0))


def test_what_is_missing_leaves_the_others(tmp_path: Path, served: Path) -> None:
    from langmerge.cli.run import run_project
    from langmerge.project import load_project

    base = Path(str(load_project(served).base))
    project = make_project(tmp_path, base, compare=["base", "individual", "combined"])
    run_project(project, languages=["de"], steps=["train"])

    found = Comparer(open_workspace(project)).compare(
        Question("classification", ("de", "en"), "x"), Choice("ties")
    )

    assert found.cells["de", "base"].answer is not None
    assert found.cells["de", "individual"].answer is not None
    assert "`langmerge run`" in (found.cells["en", "individual"].problem or "")
    assert "`langmerge run`" in (found.cells["de", "merged"].problem or "")


def test_a_recipe_chosen_on_dev_is_the_one_that_was_chosen(tmp_path: Path, served: Path) -> None:
    from langmerge.cli.run import run_project
    from langmerge.project import load_project

    base = Path(str(load_project(served).base))
    project = make_project(tmp_path, base, compare=["base"], merge="auto")
    run = run_project(project)
    action = run.results["merge/classification/auto/seed0"].action
    assert action is not None

    comparer = Comparer(open_workspace(project))
    recipe = comparer.merges.recipe(Choice("auto"), "classification")

    assert recipe.as_dict() == action.facts["recipe"]
    stored = comparer.merges._stored(recipe, "classification")
    assert stored is not None
    assert stored.name == action.output


def test_examples_are_rows_held_out(comparer: Comparer) -> None:
    assert comparer.example("classification", "de") == ("de test thing 0", ())
    assert comparer.example("multiple_choice", "en") == (
        "en test thing 0", ("one", "two", "six"),
    )  # fmt: skip


def test_generated_text_and_choices(comparer: Comparer) -> None:
    written = comparer.compare(Question("generation", ("de",), "x"), Choice("ties"))
    assert written.cells["de", "merged"].problem is None
    question = Question("multiple_choice", ("de",), "x", ("one", "two"))
    chosen = comparer.compare(question, Choice("mean")).cells["de", "merged"].answer
    assert chosen is not None
    assert set(chosen.probabilities) == {"one", "two"}


def test_the_table_is_text_and_nothing_else(comparer: Comparer) -> None:
    hostile = "<script>alert(1)</script>"
    found = comparer.compare(Question("classification", ("de",), hostile), Choice("ties"))
    cells: dict[tuple[str, str], Cell] = {
        **found.cells,
        ("de", "base"): Cell(problem=hostile),
        ("de", "combined"): Cell(found.cells["de", "base"].answer, stale=True),
    }
    shown = to_html(
        Comparison(
            found.question, found.models, found.recipe, cells, merge_seconds=0.0, seconds=0.0
        )
    )

    assert "<script" not in shown + problem_html(hostile)
    assert "&lt;script&gt;" in shown
    assert "trained on older data" in shown
    assert describe(found.recipe) == "ties, density 0.5, lambda 1"


def test_a_merge_that_cannot_be_is_one_models_problem(
    comparer: Comparer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> Adapter:
        raise LangmergeError("cannot be merged")

    monkeypatch.setattr(comparer.merges, "adapter", fail)
    found = comparer.compare(QUESTION, Choice("ties"))

    assert found.cells["de", "merged"].problem == "cannot be merged"
    assert found.cells["de", "base"].answer is not None
