"""Task types: candidates, identities and measures."""

import pytest

from langmerge.data import Row
from langmerge.tasks import Classification, Generation, MultipleChoice, Prediction, Task

DATA = "data/{language}/{split}.jsonl"


def values(task: Task, predictions: list[Prediction]) -> dict[str, float]:
    return {metric.name: float(metric.value) for metric in task.measure(predictions, "en")}


def test_classification_takes_the_likeliest_label() -> None:
    task = Classification(type="classification", labels=("bad", "good"), data=DATA)
    predictions = [
        Prediction("1", "1", "good", "x", 1, ("bad", "good"), (-2.0, -1.0)),
        Prediction("2", "2", "bad", "x", 0, ("bad", "good"), (-2.0, -1.0)),
    ]

    assert task.candidates(Row("1", "1", {"text": "x"}, "good")) == ("bad", "good")
    assert values(task, predictions)["accuracy"] == 50.0
    assert values(task, predictions)["macro_f1"] == pytest.approx(100 / 3)
    assert task.measure(predictions, "en")[0].name == task.primary_metric


def test_multiple_choice_normalizes_by_length() -> None:
    task = MultipleChoice(type="multiple_choice", data=DATA)
    predictions = [Prediction("1", "1", "longer", "x", 0, ("longer", "no"), (-3.0, -2.0))]

    found = values(task, predictions)

    assert (found["accuracy_norm"], found["accuracy"]) == (100.0, 0.0)
    assert task.measure(predictions, "en")[0].name == task.primary_metric


def test_generation_scores_text() -> None:
    task = Generation(type="generation", data=DATA)
    predictions = [Prediction("1", "1", "the cat sat", "source", text="the cat sat")]

    assert values(task, predictions)["rougeL"] == 100.0
    assert task.candidates(Row("1", "1", {"text": "x"}, "y")) == ()
    assert task.measure(predictions, "en")[0].name == task.primary_metric


def test_prompts_per_language() -> None:
    task = Generation(
        type="generation", data=DATA, prompt={"default": "{text} =>", "de": "{text} kurz:"}
    )
    row = Row("1", "1", {"text": "T"}, "S")

    assert task.prompt_text(row, "de") == "T kurz:"
    assert task.prompt_text(row, "fr") == "T =>"
    assert task.identity("de") != task.identity("fr")


def test_what_retrains_and_what_only_re_evaluates() -> None:
    task = Generation(type="generation", data=DATA)
    shorter = Generation(type="generation", data=DATA, max_new_tokens=8)

    assert task.identity("en") == shorter.identity("en")
    assert task.evaluation_identity("en") != shorter.evaluation_identity("en")


@pytest.mark.parametrize(
    "options", [{"prompt": "{text.upper}"}, {"completion": " {label}"}, {"completion": "x"}]
)
def test_bad_templates_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="field"):
        Generation.model_validate({"type": "generation", "data": DATA, **options})


def test_predictions_survive_json() -> None:
    prediction = Prediction("1", "g", "t", "s", 1, ("a", "t"), (-1.0, -2.0))

    assert Prediction.from_json(prediction.to_json()) == prediction
