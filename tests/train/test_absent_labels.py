"""`ignore_absent_labels`: what a language's rows never say is no alternative in its loss."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pretender import BASE, Pretender
from projects import make_project
from torch.nn import functional
from trainings import LORA, config, equal, rows

from langmerge.check import check_data
from langmerge.data import Row
from langmerge.encoding import Encoder, Example
from langmerge.engine import training as training_module
from langmerge.examples import Presenter
from langmerge.model import BaseModel
from langmerge.project import load_project
from langmerge.tasks import Classification
from langmerge.train import loss as loss_module
from langmerge.train import train_adapter
from langmerge.train.batches import collate
from langmerge.train.loss import summed_loss

PLAIN = [Example((1, 40, 50), (60, 61, 2)), Example((1, 7), (9, 2)), Example((), (8, 30))]
RESTRICTED = [
    Example((1, 40, 50), (60, 61, 2), left_out=((0, 9), (1, 70))),
    Example((1, 7), (9, 2), left_out=((0, 60), (0, 33))),
    Example((), (8, 30), left_out=((0, 5), (1, 31))),
]


def presenter(base: BaseModel, labels: tuple[str, ...], **options: Any) -> Presenter:
    task = Classification(
        type="classification", labels=labels, data="data/{language}/{split}.jsonl", **options
    )
    return Presenter(task, "en", Encoder(base.tokenizer, 64))


def row(label: str) -> Row:
    return Row("1", "1", {"text": "x"}, label)


def test_the_loss_is_the_restricted_softmaxs(tiny_base: BaseModel, monkeypatch: Any) -> None:
    expected = 0.0
    for example in RESTRICTED:
        ids = torch.tensor([[*example.prompt_ids, *example.completion_ids]])
        logits = tiny_base.model(ids).logits[0].double()
        for at, token in enumerate(example.completion_ids):
            place = len(example.prompt_ids) + at - 1
            if place < 0:
                continue  # Without a prompt nothing predicts the first token.
            kept = torch.ones(logits.shape[1], dtype=torch.bool)
            kept[[other for where, other in example.left_out if where == at]] = False
            own = int(kept[:token].sum())
            wanted = torch.tensor([own])
            expected += float(functional.cross_entropy(logits[place][kept][None], wanted))

    batch = collate(RESTRICTED)
    hidden = tiny_base.hidden_states(batch.input_ids).flatten(0, 1)[batch.positions]
    for chunk in (1 << 25, 2 * tiny_base.vocabulary_size):
        monkeypatch.setattr(loss_module, "_CHUNK_LOGITS", chunk)
        found = summed_loss(tiny_base, hidden, batch.targets, batch.left_out)
        assert found == pytest.approx(expected, rel=1e-5)
    whole = summed_loss(tiny_base, hidden, batch.targets, batch.left_out[:0])
    assert whole > expected


def test_padded_and_packed_leave_out_the_same() -> None:
    padded, packed = collate(RESTRICTED), collate(RESTRICTED[:1], RESTRICTED[1:], packed=True)
    assert padded.left_out.tolist() == [[0, 9], [1, 70], [3, 33], [3, 60], [5, 31]]
    assert packed.left_out.tolist() == padded.left_out.tolist()
    assert collate(PLAIN).left_out.shape == (0, 2)


def test_training_takes_the_restricted_loss(tiny_base: BaseModel) -> None:
    spared = [replace(example, left_out=((0, 80), (0, 81))) for example in rows(8)]
    one_step = config(max_steps=1, per_device_train_batch_size=8)
    batch = collate(spared)
    hidden = tiny_base.hidden_states(batch.input_ids).flatten(0, 1)[batch.positions]
    expected = summed_loss(tiny_base, hidden, batch.targets, batch.left_out) / len(batch.targets)

    found = train_adapter(tiny_base, spared, LORA, one_step, seed=0)

    assert found.losses[0] == pytest.approx(expected, rel=1e-5)
    assert not equal(found, train_adapter(tiny_base, rows(8), LORA, one_step, seed=0))


def test_a_checkpoint_of_the_whole_softmax_is_left_alone(
    tiny_base: BaseModel, tmp_path: Path
) -> None:
    spared = [replace(example, left_out=((0, 80),)) for example in rows(8)]
    settings = config(max_steps=4)
    alone = train_adapter(tiny_base, spared, LORA, settings, seed=0)

    class Killed(BaseException):
        pass

    def on_step(step: int, _steps: int, _loss: float) -> None:
        if step == 2:
            raise Killed

    options: dict[str, Any] = {"checkpoint_dir": tmp_path, "checkpoint_seconds": 0}
    with pytest.raises(Killed):
        train_adapter(tiny_base, rows(8), LORA, settings, 0, on_step=on_step, **options)
    assert equal(train_adapter(tiny_base, spared, LORA, settings, 0, **options), alone)


def test_a_label_is_left_out_where_it_parts_from_the_rows_own(tiny_base: BaseModel) -> None:
    shown = presenter(tiny_base, ("good", "fine"))
    encode = shown.encoder.encode_completion
    own, other = encode(" good", eos=True), encode(" fine", eos=True)
    at = next(i for i, pair in enumerate(zip(own, other, strict=False)) if pair[0] != pair[1])

    example = shown.training_example(row("good"), absent=("fine",))

    assert example.left_out == ((at, other[at]),)
    assert example.completion_ids == tuple(own)
    assert shown.training_example(row("good")).left_out == ()


def test_what_leads_to_a_label_that_rows_have_stays(tiny_base: BaseModel) -> None:
    # 'bad' and 'bag' part from 'good' in one place and, letter by letter, at the same token.
    shown = presenter(tiny_base, ("good", "bad", "bag"))
    encode = shown.encoder.encode_completion
    ids = [encode(f" {label}", eos=True) for label in ("good", "bad", "bag")]
    parting = [
        next(pair for pair in enumerate(zip(ids[0], of, strict=False)) if pair[1][0] != pair[1][1])
        for of in ids[1:]
    ]
    assert parting[0] == parting[1], "the tokenizer must share the first token of both"

    assert shown.training_example(row("good"), absent=("bag",)).left_out == ()
    assert len(shown.training_example(row("good"), absent=("bad", "bag")).left_out) == 1
    # From 'bad' it parts later, where 'bad' itself goes on.
    assert len(shown.training_example(row("bad"), absent=("bag",)).left_out) == 1


def test_a_label_longer_than_the_rows_own_parts_at_its_end(tiny_base: BaseModel) -> None:
    shown = presenter(tiny_base, ("good", "goods"))
    own = shown.encoder.encode_completion(" good", eos=True)
    example = shown.training_example(row("good"), absent=("goods",))
    ((at, token),) = example.left_out
    assert own[at] != token
    cut = Encoder(tiny_base.tokenizer, len(example.prompt_ids) + at)
    short = Presenter(shown.task, "en", cut).training_example(row("good"), absent=("goods",))
    assert short.left_out == ()


def make(folder: Path, base: Path = BASE, **train: Any) -> Path:
    """Make a project whose German rows never have the second label."""
    project = make_project(
        folder,
        base,
        train={"num_train_epochs": 1, "max_length": 64, **train},
        adapter={"r": 2, "lora_alpha": 4},
    )
    path = folder / "data/classification/de/train.jsonl"
    labels = load_project(project).tasks["classification"].declared_labels()
    kept = [line for line in path.read_text().splitlines() if f'"{labels[1]}"' not in line]
    path.write_text("\n".join(kept) + "\n")
    return project


def test_check_warns_unless_it_is_set(tmp_path: Path) -> None:
    def warnings(project: Path) -> str:
        return "\n".join(check_data(load_project(project)).warnings)

    assert "set train.ignore_absent_labels" in warnings(make(tmp_path / "plain"))
    spared = warnings(make(tmp_path / "spared", ignore_absent_labels=True))
    assert "no row labelled" not in spared


def test_the_key_names_labels_only_where_they_matter(tmp_path: Path) -> None:
    job = "train/classification/de/seed0"
    plain = Pretender(make(tmp_path / "plain")).plan()[job].document
    spared = Pretender(make(tmp_path / "spared", ignore_absent_labels=True)).plan()[job].document
    assert plain is not None and spared is not None
    assert "labels" not in plain
    assert "ignore_absent_labels" not in plain["train"]
    assert spared["train"]["ignore_absent_labels"] is True
    assert len(spared["labels"]) > 1


def test_a_run_leaves_out_what_the_language_lacks(
    tmp_path: Path, tiny_base_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from langmerge.cli.run import run_project

    lessons: dict[str, list[Example]] = {}
    real = training_module.train_adapters

    def watched(base: BaseModel, asked: Any, **options: Any) -> Any:
        lessons.update({lesson.name: list(lesson.examples) for lesson in asked})
        return real(base, asked, **options)

    monkeypatch.setattr(training_module, "train_adapters", watched)
    project = make(tmp_path, tiny_base_folder, ignore_absent_labels=True)
    run_project(project)

    left_out = {
        name.split("/")[2]: {bool(example.left_out) for example in examples}
        for name, examples in lessons.items()
    }
    assert left_out == {"de": {True}, "en": {False}, "combined": {False}}
