"""Rows to predictions: written answers, letters, and examples before the question."""

import pytest

from langmerge.data import Row
from langmerge.encoding import Encoder
from langmerge.evaluate.predict import predict_rows
from langmerge.examples import Presenter
from langmerge.tasks import Classification, MultipleChoice

DATA = "data/{language}/{split}.jsonl"
ROWS = [
    Row(str(i), str(i), {"question": f"What is {i}?"}, "one", ("one", "two", "six"), 0)
    for i in range(3)
]


def presenter(base, **options) -> Presenter:
    task = MultipleChoice(type="multiple_choice", data=DATA, **options)
    return Presenter(task, "en", Encoder(base.tokenizer, 256))


def test_written_answers_keep_candidates_and_text(tiny_base) -> None:
    found, tokens = predict_rows(tiny_base, presenter(tiny_base, generate=True), ROWS, 512)

    assert tokens > sum(len(prediction.source) for prediction in found) / 10
    for prediction in found:
        assert prediction.text is not None
        assert (prediction.candidates, prediction.answer) == (("one", "two", "six"), 0)
        assert prediction.scores == ()
    names = [m.name for m in presenter(tiny_base, generate=True).task.measure(found, "en")]
    assert names == ["accuracy", "macro_f1", "unparseable"]


def test_labels_can_be_written(tiny_base) -> None:
    task = Classification(type="classification", labels=("a", "b"), data=DATA, generate=True)
    rows = [Row("1", "1", {"text": "x"}, "b")]
    (found,), _ = predict_rows(
        tiny_base, Presenter(task, "en", Encoder(tiny_base.tokenizer)), rows, 512
    )
    assert (found.candidates, found.answer, found.scores) == (("a", "b"), 1, ())


def test_letters_are_trained_and_scored(tiny_base) -> None:
    of_letters = presenter(tiny_base, letters=True)
    decode = of_letters.encoder.decode

    example = of_letters.training_example(ROWS[0])
    assert decode(example.completion_ids).strip() == "A"
    assert "A. one\nB. two\nC. six\nAnswer:" in decode(example.prompt_ids)
    found, _ = predict_rows(tiny_base, of_letters, ROWS, 512)
    assert found[0].candidates == ("A", "B", "C")
    assert len(found[0].scores) == 3


@pytest.mark.parametrize("letters", [False, True])
def test_examples_stand_before_the_question_when_scored_and_not_in_training(
    tiny_base, letters: bool
) -> None:
    shot = {"question": "What is x?", "target": "two", "choices": ["one", "two"]}
    with_shots = presenter(tiny_base, shots={"default": [shot, shot]}, letters=letters)
    without = presenter(tiny_base, letters=letters)

    prompt, candidates = with_shots.scoring(ROWS[0])
    plain, same_candidates = without.scoring(ROWS[0])

    shown = "Question: What is x?\n" + ("A. one\nB. two\nAnswer: B" if letters else "Answer: two")
    text = with_shots.encoder.decode(prompt)
    assert text.count(shown) == 2
    assert text.endswith("\n\n" + without.encoder.decode(plain).removeprefix("<s>").lstrip())
    assert candidates == same_candidates
    assert with_shots.training_example(ROWS[0]) == without.training_example(ROWS[0])


def test_chat_models_get_examples_as_earlier_turns(tiny_bases) -> None:
    base = tiny_bases(chat=True)
    shot = {"question": "What is x?", "target": "two"}
    of_chat = presenter(base, shots={"en": [shot]})
    expected = of_chat.encoder.encode_messages(
        [
            ("user", "Question: What is x?\nAnswer:"),
            ("assistant", "two"),
            ("user", "Question: What is 0?\nAnswer:"),
        ]
    )
    assert of_chat.scoring(ROWS[0])[0] == expected
