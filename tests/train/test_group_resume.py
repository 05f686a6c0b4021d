"""A group killed at any moment goes on as if nothing had happened, to the bit."""

from dataclasses import replace

import pytest
from trainings import LORA, config, equal, lessons, rows

from langmerge.errors import StorageError
from langmerge.train import Lesson, train_adapters
from langmerge.train import checkpoint as checkpoint_module
from langmerge.train.checkpoint import Writer
from langmerge.train.rounds import Rounds, resume_together


class Killed(BaseException):
    pass


def kept_in(folder, asked):
    return [replace(lesson, checkpoint_dir=folder / lesson.name) for lesson in asked]


def until_killed(base, asked, at, grouping="grouped"):
    """Train until the n-th step of any adapter; return what was done by then."""
    done, calls = {}, []

    def on_step(taken):
        calls.append(taken)
        if len(calls) == at:
            raise Killed

    options = {"grouping": grouping, "checkpoint_seconds": 0, "on_step": on_step}
    try:
        trainings = train_adapters(base, asked, on_done=done.__setitem__, **options)
    except Killed:
        return done, False
    return dict(trainings.outcomes), True


@pytest.fixture(scope="module")
def undisturbed(tiny_base):
    asked = lessons(dropout=0.1)
    return train_adapters(tiny_base, asked, grouping="grouped").outcomes


# Of 35 steps: in the first round, in the middle of a round, where one leaves, just after, and last.
@pytest.mark.parametrize("at", [1, 6, 17, 20, 21, 34, 35])
def test_killed_and_resumed_equals_undisturbed(tiny_base, tmp_path, undisturbed, at):
    asked = kept_in(tmp_path, lessons(dropout=0.1))
    done, _ = until_killed(tiny_base, asked, at)
    left = [lesson for lesson in asked if lesson.name not in done]
    resumed = train_adapters(tiny_base, left, grouping="grouped", checkpoint_seconds=0)
    outcomes = {**done, **resumed.outcomes}
    assert set(outcomes) == set(undisturbed)
    for name, result in outcomes.items():
        assert equal(result, undisturbed[name]), name
        assert result.losses == undisturbed[name].losses
        assert result.tokens == undisturbed[name].tokens


@pytest.mark.parametrize("written", range(1, 13, 2))
def test_killed_while_some_have_written_and_others_not(
    tiny_base, tmp_path, undisturbed, monkeypatch, written
):
    write, calls = checkpoint_module.write, []

    def dying(*arguments):
        calls.append(arguments)
        if len(calls) > written:
            raise Killed  # and so are all later ones: the process is dead
        write(*arguments)

    asked = kept_in(tmp_path, lessons(dropout=0.1))
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(checkpoint_module, "write", dying)
        train_adapters(tiny_base, asked, grouping="grouped", checkpoint_seconds=0)
    steps = []
    resumed = train_adapters(tiny_base, asked, grouping="auto", on_step=steps.append).outcomes
    assert {taken.step for taken in steps[:4]} == {written // 4 + 1}
    for name, result in resumed.items():
        assert equal(result, undisturbed[name]), name


def test_a_damaged_checkpoint_takes_all_back_to_the_one_before(tiny_base, tmp_path, undisturbed):
    asked = kept_in(tmp_path, lessons(dropout=0.1))
    until_killed(tiny_base, asked, 12)
    (tmp_path / "fr" / "checkpoint.safetensors").write_bytes(b"torn")
    steps = []
    resumed = train_adapters(tiny_base, asked, grouping="grouped", on_step=steps.append).outcomes
    assert [taken.step for taken in steps[:4]] == [3, 3, 3, 3]
    assert all(equal(result, undisturbed[name]) for name, result in resumed.items())


def test_an_interrupted_call_goes_on_as_it_began(tiny_base, tmp_path):
    asked = kept_in(tmp_path, lessons())
    until_killed(tiny_base, asked, 12)
    trainings = train_adapters(tiny_base, asked, grouping="auto")
    manner = trainings.manner
    assert (manner.way, manner.reason) == (
        "grouped",
        "as before the interruption",
    )


@pytest.mark.parametrize("at", [8, 14, 30])
def test_one_after_the_other_resumes_too(tiny_base, tmp_path, at):
    plain = train_adapters(tiny_base, lessons()).outcomes
    asked = kept_in(tmp_path, lessons())
    done, _ = until_killed(tiny_base, asked, at, "auto")
    left = [lesson for lesson in asked if lesson.name not in done]
    resumed = train_adapters(tiny_base, left, checkpoint_seconds=0).outcomes
    assert all(equal(result, plain[name]) for name, result in {**done, **resumed}.items())


def test_early_stopping_survives(tiny_base, tmp_path):
    stopping = config(eval_steps=2, early_stopping_patience=2, max_steps=40)
    asked = kept_in(tmp_path, [Lesson("a", rows(), LORA, stopping, 0, dev=rows(6, 5))])
    plain = train_adapters(tiny_base, [replace(asked[0], checkpoint_dir=None)]).outcomes["a"]
    assert plain.best_step < plain.steps
    until_killed(tiny_base, asked, plain.best_step + 1)
    resumed = train_adapters(tiny_base, asked, grouping="sequential").outcomes["a"]
    assert resumed.dev_losses == plain.dev_losses
    assert resumed.best_step == plain.best_step
    # In a group rows are packed, alone they are padded: the first steps rounded otherwise.
    assert resumed.losses == pytest.approx(plain.losses, abs=1e-3)


def test_a_failure_to_write_stops_the_call(tiny_base, tmp_path):
    (tmp_path / "de").touch()
    with pytest.raises(StorageError, match="de"):
        train_adapters(
            tiny_base, kept_in(tmp_path, lessons()), grouping="grouped", checkpoint_seconds=0
        )


def test_what_was_trained_one_after_the_other_goes_on_in_a_group(tiny_base, tmp_path):
    asked = kept_in(tmp_path, lessons()[:2])
    until_killed(tiny_base, asked, 7, "sequential")  # the second has not begun
    told = []
    train_adapters(tiny_base, asked, grouping="grouped", checkpoint_seconds=0, on_step=told.append)
    assert [taken.step for taken in told if taken.name == "de"] == [8, 9, 10]
    assert next(taken.step for taken in told if taken.name == "fr") == 1


def test_rounds_are_counted_on_from_the_last_that_is_kept(tiny_base, tmp_path):
    asked = kept_in(tmp_path, lessons()[:2])
    with Writer() as writer:
        rounds = Rounds(tiny_base, writer, 0, None, None)
        rounds.go(rounds.begin(asked[:1]), "sequential", 37, limit=3)
        writer.wait()
        runs = rounds.begin(asked)
        assert resume_together(runs) == 40
    assert [run.progress.step for run in runs] == [3, 0]
