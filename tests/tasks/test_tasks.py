"""Task types: candidates, identities and measures."""

import pytest

from langmerge.data import Row
from langmerge.errors import DataError
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


def test_written_answers_are_parsed_and_the_unparseable_counted() -> None:
    task = MultipleChoice(type="multiple_choice", data=DATA, generate=True)
    predictions = [
        Prediction(str(i), str(i), "x", "x", answer, ("Paris", "Rome", "Oslo"), text=text)
        for i, (answer, text) in enumerate(
            [(0, "Paris."), (1, "It is Rome"), (2, "oslo"), (1, "Oslo")]
        )
    ]

    found = values(task, predictions)

    assert found["accuracy"] == 50.0
    assert found["unparseable"] == 25.0
    # Paris: F1 1; Rome: 0; Oslo: 2 predicted, 1 right of 1: F1 2/3.
    assert found["macro_f1"] == pytest.approx(100 * (1 + 0 + 2 / 3) / 3)
    first = task.measure(predictions, "en")[0]
    assert (first.name, first.signature) == (
        task.primary_metric,
        "accuracy|by:generation|langmerge:1",
    )


def test_written_labels() -> None:
    task = Classification(type="classification", labels=("bad", "good"), data=DATA, generate=True)
    predictions = [
        Prediction("1", "1", "good", "x", 1, ("bad", "good"), text="Good!"),
        Prediction("2", "2", "bad", "x", 0, ("bad", "good"), text="neutral"),
    ]

    assert values(task, predictions)["unparseable"] == 50.0
    assert values(task, predictions)["accuracy"] == 50.0
    assert task.confusion(predictions).tolist() == [[0, 0, 1], [0, 1, 0]]
    assert "|by:generation|" in task.measure(predictions, "en")[0].signature


def test_letters_show_the_choices_and_are_the_answer() -> None:
    task = MultipleChoice(type="multiple_choice", data=DATA, letters=True)
    row = Row("1", "1", {"question": "Where?\nNow."}, "Rome", ("Paris", "Rome"), 1)

    assert task.prompt_text(row, "en") == "Question: Where?\nNow.\nA. Paris\nB. Rome\nAnswer:"
    assert task.candidates(row) == ("A", "B")
    assert task.answer_text(row) == "B"
    plain = MultipleChoice(type="multiple_choice", data=DATA, letters=True, prompt="{question}")
    assert plain.prompt_text(row, "en") == "Where?\nNow.\nA. Paris\nB. Rome"
    many = Row("1", "1", {"question": "?"}, "0", tuple(map(str, range(27))), 0)
    with pytest.raises(DataError, match="27 choices, and letters go to Z"):
        task.candidates(many)


def test_options_that_are_not_set_change_no_identity() -> None:
    plain = MultipleChoice(type="multiple_choice", data=DATA)
    assert plain.evaluation_identity("en") == {
        "type": "multiple_choice",
        "prompt": "Question: {question}\nAnswer:",
        "completion": " {target}",
        "eos": True,
    }
    shot = {"default": [{"question": "1+1?", "target": "2"}]}
    for options, retrains in (
        ({"letters": True}, True),
        ({"generate": True}, False),
        ({"shots": shot}, False),
        ({"seeds": (1, 2)}, False),
    ):
        other = MultipleChoice(type="multiple_choice", data=DATA, **options)
        same = other.evaluation_identity("en") == plain.evaluation_identity("en")
        assert same == ("seeds" in options)
        assert (other.identity("en") != plain.identity("en")) == retrains
    segmented = Generation(type="generation", data=DATA, segmented=True)
    assert "segmented" not in Generation(type="generation", data=DATA).evaluation_identity("ja")
    assert segmented.evaluation_identity("ja")["segmented"] is True


def test_shots_must_fill_the_prompt_and_answer_with_a_choice() -> None:
    def task(**shot) -> Task:
        return MultipleChoice.model_validate(
            {"type": "multiple_choice", "data": DATA, "shots": {"en": [shot]}}
        )

    row = task(question="1+1?", target="2", choices=["1", "2"]).shots_for("en")[0]
    assert (row.fields, row.target, row.answer) == ({"question": "1+1?"}, "2", 1)
    assert task(question="1+1?", target="2").shots_for("de") == ()
    with pytest.raises(ValueError, match=r"shots.en: example 1 has no 'question'.*did you mean"):
        task(questoin="1+1?", target="2")
    by_language = {"de": "{question}?", "en": "Q: {question}"}
    given = {"type": "multiple_choice", "data": DATA, "prompt": by_language}
    MultipleChoice.model_validate(
        {**given, "shots": {"default": [{"question": "?", "target": "2"}]}}
    )
    with pytest.raises(ValueError, match="prompt: no template for 'fr', which has shots"):
        MultipleChoice.model_validate(
            {**given, "shots": {"fr": [{"question": "?", "target": "2"}]}}
        )
    with pytest.raises(ValueError, match=r"shots.de: example 1 has no 'choices' to give letters"):
        MultipleChoice.model_validate(
            {
                "type": "multiple_choice",
                "data": DATA,
                "letters": True,
                "shots": {"de": [{"question": "?", "target": "2"}]},
            }
        )
    with pytest.raises(ValueError, match="expected one of the choices 1, 3"):
        task(question="1+1?", target="2", choices=["1", "3"])


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
