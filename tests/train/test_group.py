"""Adapters trained in one step become what they become alone."""

import copy
from dataclasses import replace

import pytest
import torch
from trainings import LORA, config, equal, lessons, rows

from langmerge.encoding import Example
from langmerge.errors import DataError, UserError
from langmerge.model import BaseModel
from langmerge.train import Lesson, TrainResult, train_adapter, train_adapters
from langmerge.train import rounds as rounds_module
from langmerge.train.checkpoint import Writer
from langmerge.train.rounds import Rounds
from langmerge.train.step import Stepper


def in_double(base):
    return BaseModel(copy.deepcopy(base.model).double(), base.tokenizer, base.resolved)


def trained(base, asked, together):
    """Return each lesson's factors after training."""
    with Writer() as writer:
        rounds = Rounds(base, writer, 1e9, None, None)
        runs = rounds.begin(asked)
        for group in [runs] if together else [[run] for run in runs]:
            rounds.go(group, "grouped" if together else "sequential", 0)
    assert all(isinstance(outcome, TrainResult) for outcome in rounds.outcomes.values())
    return {run.lesson.name: run for run in runs}


def check_same_factors(grouped, alone, within):
    for name, run in grouped.items():
        for module, factors in run.factors.items():
            other = alone[name].factors[module]
            torch.testing.assert_close(factors.a, other.a, rtol=0, atol=within)
            torch.testing.assert_close(factors.b, other.b, rtol=0, atol=within)
        assert run.progress.losses == pytest.approx(alone[name].progress.losses, abs=within)
        assert run.progress.tokens == alone[name].progress.tokens
        assert run.progress.supervised_tokens == alone[name].progress.supervised_tokens


CASES = {
    "a hundred steps": ("llama", {"steps": 100, "learning_rate": 2e-3}),
    "dropout": ("llama", {"dropout": 0.2}),
    "activation checkpointing": ("qwen2", {"dropout": 0.1, "gradient_checkpointing": True}),
    "windows and a tied head": ("gemma3", {"dropout": 0.1}),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("packs", [True, False], ids=["packed", "padded"])
def test_equal_to_training_alone_in_double_precision(tiny_bases, monkeypatch, case, packs):
    family, options = CASES[case]
    if not packs:
        monkeypatch.setattr(rounds_module, "packing_kernel", lambda _base: None)
        options = options | {"steps": 10}
    base, asked = in_double(tiny_bases(family)), lessons(**options)
    grouped, alone = trained(base, asked, True), trained(base, asked, False)
    check_same_factors(grouped, alone, 1e-9)
    changed = next(iter(grouped["fr"].factors.values()))
    assert changed.a.dtype == torch.float64
    assert changed.b.abs().max() > 1e-3


def test_losses_equal_those_alone_in_single_precision(tiny_base):
    asked = lessons(steps=30)
    trainings = train_adapters(tiny_base, asked, grouping="grouped")
    assert (trainings.manner.way, trainings.manner.reason) == ("grouped", "as asked")
    for lesson in asked:
        alone = train_adapters(tiny_base, [lesson]).outcomes[lesson.name]
        assert trainings.outcomes[lesson.name].losses == pytest.approx(alone.losses, abs=1e-3)


def test_one_after_the_other_is_to_the_bit_as_alone(tiny_base):
    asked = lessons(dropout=0.1)
    trainings = train_adapters(tiny_base, asked)
    assert trainings.manner.way == "sequential"
    for lesson in asked:
        alone = train_adapter(tiny_base, lesson.examples, lesson.lora, lesson.config, lesson.seed)
        assert equal(trainings.outcomes[lesson.name], alone)


@pytest.mark.parametrize("grouping", ["grouped", "sequential"])
def test_one_that_fails_leaves_the_others_alone(tiny_base, grouping):
    good = lessons(steps=8)[:2]
    diverging = Lesson(
        "xx", rows(), LORA, config(learning_rate=1e30, lr_scheduler_type="constant"), 0
    )
    empty = Lesson("yy", [Example((1, 2), ())], LORA, config(), 0)
    done = []
    trainings = train_adapters(
        tiny_base,
        [good[0], diverging, empty, good[1]],
        grouping=grouping,
        on_done=lambda name, _: done.append(name),
    )
    found = trainings.outcomes
    assert list(found) == ["de", "xx", "yy", "fr"]
    assert sorted(done) == sorted(found)
    assert isinstance(found["xx"], UserError)
    assert "diverged at step" in str(found["xx"])
    assert isinstance(found["yy"], DataError)
    undisturbed = train_adapters(tiny_base, good, grouping=grouping).outcomes
    for name in ("de", "fr"):
        assert found[name].losses == pytest.approx(undisturbed[name].losses, abs=1e-4)


def test_time_is_shared_by_tokens(tiny_base):
    told = []
    trainings = train_adapters(tiny_base, lessons(), grouping="grouped", on_step=told.append)
    results = trainings.outcomes
    shared = sum(result.seconds for result in results.values())
    assert 0.3 * trainings.seconds < shared <= trainings.seconds
    assert results["fr"].seconds > results["zh"].seconds
    assert all(result.padded_tokens == result.tokens for result in results.values())
    last = {taken.name: taken for taken in told}
    assert all(last[name].step == last[name].steps == results[name].steps for name in results)
    assert all(taken.tokens_per_second > 0 and taken.seconds_left >= 0 for taken in told)
    assert [taken.loss for taken in told if taken.name == "ja"] == list(results["ja"].losses)


def test_a_probe_takes_real_steps_and_the_faster_way(tiny_base, monkeypatch):
    asked = lessons(steps=12)
    plain = train_adapters(tiny_base, asked).outcomes
    ways = []
    for seconds in (1.0, 100.0):  # of a grouped step
        clock = {"now": 0.0}
        monkeypatch.setattr(rounds_module.time, "monotonic", lambda clock=clock: clock["now"])
        gradients = Stepper.gradients

        def slow(stepper, runs, gradients=gradients, clock=clock, seconds=seconds):
            clock["now"] += seconds if len(runs) > 1 else 1.0
            return gradients(stepper, runs)

        with monkeypatch.context() as patch:
            patch.setattr(Stepper, "gradients", slow)
            trainings = train_adapters(tiny_base, asked, grouping="probe")
        ways.append(trainings.manner.way)
        assert set(trainings.manner.speeds) == {"grouped", "sequential"}
        assert trainings.manner.speeds["sequential"].seconds_per_step == pytest.approx(4.0)
        assert trainings.manner.speeds["grouped"].seconds_per_step == pytest.approx(seconds)
        for name, result in trainings.outcomes.items():
            assert result.steps == plain[name].steps
            assert result.losses == pytest.approx(plain[name].losses, abs=1e-3)
    assert ways == ["grouped", "sequential"]


class LittleMemory:
    """Lets passes through that hold at most so many rows."""

    def __init__(self, monkeypatch, most, is_enough=lambda batch: False):
        self.passes = []
        backward = Stepper._backward

        def limited(stepper, batch, layout, weights):
            self.passes.append((len(layout.members), len(batch.lengths)))
            if len(batch.lengths) > most and not is_enough(stepper):
                raise torch.OutOfMemoryError("CUDA out of memory")
            return backward(stepper, batch, layout, weights)

        monkeypatch.setattr(Stepper, "_backward", limited)


def steady(**changes):
    """Lessons that rounding moves little: Adam divides by nothing tiny."""
    return lessons(adam_epsilon=1e-3, **changes)


@pytest.mark.parametrize(("most", "members"), [(8, 4), (4, 4), (2, 2), (1, 1)])
def test_out_of_memory_a_group_holds_less_and_trains_the_same(
    tiny_base, monkeypatch, most, members
):
    plain = train_adapters(tiny_base, steady(), grouping="grouped").outcomes
    memory = LittleMemory(monkeypatch, most)
    found = train_adapters(tiny_base, steady(), grouping="grouped").outcomes
    fitting = [passed for passed in memory.passes if passed[1] <= most]
    assert max(passed[0] for passed in fitting) == members
    for name, result in found.items():
        assert result.losses == pytest.approx(plain[name].losses, abs=1e-3)
        assert result.tokens == plain[name].tokens


def test_at_last_activations_are_computed_twice(tiny_base, monkeypatch):
    memory = LittleMemory(monkeypatch, 0, is_enough=lambda stepper: stepper._saving)
    found = train_adapters(tiny_base, steady(steps=3), grouping="grouped").outcomes
    assert all(isinstance(result, TrainResult) for result in found.values())
    assert memory.passes[0][0] == 4
    assert memory.passes[-1][1] == 1
    assert not tiny_base.model.is_gradient_checkpointing


def test_of_a_group_one_that_never_fits_fails_alone(tiny_base, monkeypatch):
    backward = Stepper._backward

    def limited(stepper, batch, layout, weights):
        if max(batch.lengths) > 40:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return backward(stepper, batch, layout, weights)

    monkeypatch.setattr(Stepper, "_backward", limited)
    asked = [steady()[0], steady()[1]]
    found = train_adapters(tiny_base, asked, grouping="grouped").outcomes
    assert isinstance(found["de"], TrainResult)
    assert "out of memory at step" in str(found["fr"])


def test_dev_losses_do_not_change_what_is_learned(tiny_base):
    plain = lessons(dropout=0.1)
    asked = [
        replace(of, dev=rows(7, 9), config=of.config.model_copy(update={"eval_steps": 4}))
        for of in plain
    ]
    without = train_adapters(tiny_base, plain, grouping="grouped").outcomes
    found = train_adapters(tiny_base, asked, grouping="grouped").outcomes
    for name, result in found.items():
        assert equal(result, without[name])
        assert [dev.step for dev in result.dev_losses] == {5: [4, 5], 10: [4, 8, 10]}[result.steps]
    alone = train_adapters(tiny_base, asked[:1]).outcomes["de"]
    assert [dev.loss for dev in alone.dev_losses] == pytest.approx(
        [dev.loss for dev in found["de"].dev_losses], abs=1e-3
    )


@pytest.mark.parametrize("grouping", ["grouped", "sequential"])
def test_early_stopping_keeps_the_best(tiny_base, grouping):
    # What is right on dev is the opposite of what is learned: the loss there rises after a while.
    learned = [Example(row.prompt_ids, (60, 2)) for row in rows()]
    dev = [Example(row.prompt_ids, (60, 2)) for row in rows(3, 1)]
    dev += [Example(row.prompt_ids, (61, 2)) for row in rows(3, 2)]
    stopping = config(eval_steps=2, early_stopping_patience=2, max_steps=60)
    asked = [
        Lesson("a", learned, LORA, stopping, 0, dev=dev),
        Lesson("b", rows(), LORA, config(max_steps=6), 0),
    ]
    result = train_adapters(tiny_base, asked, grouping=grouping).outcomes["a"]
    losses = {dev.step: dev.loss for dev in result.dev_losses}
    assert result.steps == max(losses) < 60
    assert result.best_step == min(losses, key=losses.get) == result.steps - 4
    with Writer() as writer:
        rounds = Rounds(tiny_base, writer, 1e9, None, None)
        plain = config(max_steps=60)
        (run,) = rounds.begin([Lesson("a", learned, LORA, plain, 0)])
        rounds.go([run], "sequential", 0, limit=result.best_step)
    assert result.losses[: result.best_step] == pytest.approx(run.progress.losses, abs=1e-4)
    if grouping == "sequential":
        assert equal(result, run.result(tiny_base, 0.0))


def apart(runs, others):
    """Return how far factors and losses of two trainings are apart: relative, and in nats."""
    squares = torch.zeros(2, dtype=torch.float64)
    losses = []
    for name, run in runs.items():
        for module, factors in run.factors.items():
            other = others[name].factors[module]
            for found, expected in ((factors.a, other.a), (factors.b, other.b)):
                norms = (found - expected).detach().norm(), expected.detach().norm()
                squares += torch.stack(norms).double().square()
        pairs = zip(run.progress.losses, others[name].progress.losses, strict=True)
        losses += [(one - other) ** 2 for one, other in pairs]
    return float((squares[0] / squares[1]).sqrt()), (sum(losses) / len(losses)) ** 0.5


def test_in_bfloat16_a_group_differs_no_more_than_a_batch_of_another_shape(tiny_bases, monkeypatch):
    tiny = tiny_bases("llama")
    base = replace(tiny, model=copy.deepcopy(tiny.model).bfloat16())
    asked = lessons(steps=30)
    alone, grouped = trained(base, asked, False), trained(base, asked, True)
    monkeypatch.setattr(rounds_module, "packing_kernel", lambda _base: None)
    padded = trained(base, asked, False)
    noise, found = apart(padded, alone), apart(grouped, alone)
    print(f"(factors, losses) apart: padded {noise}, grouped {found}")  # noqa: T201
    assert all(of > 0 for of in noise)
    assert all(of <= 3 * by for of, by in zip(found, noise, strict=True))
