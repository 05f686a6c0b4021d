import pytest
import torch
from trainings import LORA, config, equal, rows, tensors

from langmerge.base import resolve_base
from langmerge.encoding import Example
from langmerge.errors import DataError, StorageError, UserError
from langmerge.model import load_base
from langmerge.train import loss as loss_module
from langmerge.train import train_adapter
from langmerge.train.config import LoraSettings


class Killed(BaseException):
    pass


def killed_at(last):
    def on_step(step, steps, loss):
        if step == last:
            raise Killed

    return on_step


def test_training_learns_and_leaves_the_base_alone(tiny_base):
    before = {name: tensor.clone() for name, tensor in tiny_base.model.state_dict().items()}
    examples = [Example(row.prompt_ids, (60, 2)) for row in rows()]
    result = train_adapter(tiny_base, examples, LORA, config(num_train_epochs=10), seed=0)
    assert result.steps == len(result.losses) == 50
    assert result.losses[-1] < 0.3 * result.losses[0]
    assert not tiny_base.model.training
    for name, tensor in tiny_base.model.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert not any(p.requires_grad for p in tiny_base.model.parameters())


def test_tokens_are_counted(tiny_base):
    examples = rows()
    result = train_adapter(tiny_base, examples, LORA, config(), seed=0)
    inputs = sum(len(e.prompt_ids) + len(e.completion_ids) - 1 for e in examples)
    assert (result.tokens, result.supervised_tokens) == (3 * inputs, 3 * 2 * len(examples))
    assert result.tokens <= result.padded_tokens < 1.3 * result.tokens
    assert result.seconds > 0


@pytest.mark.parametrize("changes", [{}, {"lora_dropout": 0.2}])
def test_the_same_seed_gives_the_same_bytes(tiny_base, changes):
    lora = LoraSettings(r=4, **changes)
    first = train_adapter(tiny_base, rows(), lora, config(), seed=1)
    torch.rand(3)  # the state of torch's own generator is of no importance
    assert equal(first, train_adapter(tiny_base, rows(), lora, config(), seed=1))
    assert not equal(first, train_adapter(tiny_base, rows(), lora, config(), seed=2))


@pytest.mark.parametrize("step", [1, 5, 6, 14])
def test_killed_and_resumed_equals_undisturbed(tiny_base, tmp_path, step):
    lora = LoraSettings(r=4, lora_dropout=0.1)
    undisturbed = train_adapter(tiny_base, rows(), lora, config(), seed=0)
    options = {"checkpoint_dir": tmp_path, "checkpoint_seconds": 0}
    with pytest.raises(Killed):
        train_adapter(tiny_base, rows(), lora, config(), 0, on_step=killed_at(step), **options)
    assert not tiny_base.model.training
    taken = []
    resumed = train_adapter(
        tiny_base, rows(), lora, config(), 0, on_step=lambda at, *_: taken.append(at), **options
    )
    assert taken == list(range(step + 1, 16))
    assert equal(resumed, undisturbed)
    assert resumed.losses == undisturbed.losses
    assert resumed.tokens == undisturbed.tokens


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"lora": LoraSettings(r=4, lora_alpha=1)}, {"examples": rows(seed=9)}]
)
def test_a_checkpoint_of_another_run_is_left_alone(tiny_base, tmp_path, change):
    asked = {"examples": rows(), "lora": LORA, "config": config(), "seed": 0}
    options = {"checkpoint_dir": tmp_path, "checkpoint_seconds": 0}
    with pytest.raises(Killed):
        train_adapter(tiny_base, **asked, on_step=killed_at(3), **options)
    fresh = train_adapter(tiny_base, **(asked | change))
    assert equal(train_adapter(tiny_base, **(asked | change), **options), fresh)


def test_a_damaged_checkpoint_is_left_alone(tiny_base, tmp_path):
    (tmp_path / "checkpoint.safetensors").write_bytes(b"torn")
    fresh = train_adapter(tiny_base, rows(), LORA, config(), seed=0)
    assert equal(
        train_adapter(tiny_base, rows(), LORA, config(), seed=0, checkpoint_dir=tmp_path), fresh
    )


def test_a_checkpoint_is_replaced_whole(tiny_base, tmp_path):
    options = {"checkpoint_dir": tmp_path, "checkpoint_seconds": 0}
    train_adapter(tiny_base, rows(), LORA, config(max_steps=3), 0, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.safetensors"]


def test_a_folder_that_cannot_be_written(tiny_base, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="a file stands where a folder is needed"):
        train_adapter(
            tiny_base,
            rows(),
            LORA,
            config(),
            0,
            checkpoint_dir=tmp_path / "file" / "folder",
            checkpoint_seconds=0,
        )


def test_accumulated_batches_equal_a_large_one(tiny_base):
    whole = config(per_device_train_batch_size=8)
    parts = config(per_device_train_batch_size=2, gradient_accumulation_steps=4)
    first = train_adapter(tiny_base, rows(), LORA, whole, seed=0)
    second = train_adapter(tiny_base, rows(), LORA, parts, seed=0)
    assert first.losses == pytest.approx(second.losses, rel=1e-4)
    for a, b in zip(tensors(first), tensors(second), strict=True):
        torch.testing.assert_close(a, b, atol=2e-4, rtol=1e-2)


@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_gradient_checkpointing_changes_nothing(tiny_bases, family):
    base, lora = tiny_bases(family), LoraSettings(r=4, lora_dropout=0.1)
    plain = train_adapter(base, rows(), lora, config(max_steps=4), seed=0)
    sparing = config(max_steps=4, gradient_checkpointing=True)
    assert train_adapter(base, rows(), lora, sparing, seed=0).losses == pytest.approx(plain.losses)
    assert not base.hidden_states(torch.tensor([[1, 2]])).requires_grad


def test_small_chunks_of_logits_change_nothing(tiny_base, monkeypatch):
    expected = train_adapter(tiny_base, rows(), LORA, config(max_steps=4), seed=0)
    monkeypatch.setattr(loss_module, "_CHUNK_LOGITS", 3 * tiny_base.vocabulary_size)
    found = train_adapter(tiny_base, rows(), LORA, config(max_steps=4), seed=0)
    assert found.losses == pytest.approx(expected.losses, rel=1e-3)


def test_a_base_on_a_device_map_trains_the_same(tiny_base, tiny_base_folder, tmp_path):
    resolved = resolve_base(str(tiny_base_folder), tiny_base_folder, tmp_path)
    places = {"model.embed_tokens": "cpu", "model.layers.0": "cpu", "model.layers.1": "cpu"}
    places |= {"model.norm": "cpu", "model.rotary_emb": "cpu", "lm_head": "cpu"}
    spread = load_base(resolved, device_map=places)
    found = train_adapter(spread, rows(), LORA, config(max_steps=4), seed=0)
    assert equal(found, train_adapter(tiny_base, rows(), LORA, config(max_steps=4), seed=0))


def test_a_head_may_be_trained(tiny_base):
    lora = LoraSettings(r=4, target_modules=("lm_head",))
    result = train_adapter(tiny_base, rows(), lora, config(), seed=0)
    assert result.adapter.modules == ("lm_head",)
    assert result.losses[-1] < result.losses[0]


def test_divergence_is_an_error(tiny_base):
    with pytest.raises(UserError, match=r"diverged at step \d+ of 15.*train\.learning_rate"):
        train_adapter(
            tiny_base, rows(), LORA, config(learning_rate=1e30, lr_scheduler_type="constant"), 0
        )
    assert not tiny_base.model.training


@pytest.mark.parametrize("examples", [[], [Example((1, 2), (), lost=3)], [Example((), (5,))]])
def test_nothing_to_learn_is_an_error(tiny_base, examples):
    with pytest.raises(DataError, match="nothing to train on"):
        train_adapter(tiny_base, examples, LORA, config(), seed=0)


def test_examples_cut_wholly_are_left_out(tiny_base):
    cut = Example((1, 2, 3), (), lost=2)
    with_cut = train_adapter(tiny_base, [*rows(), cut], LORA, config(), seed=0)
    assert equal(with_cut, train_adapter(tiny_base, rows(), LORA, config(), seed=0))
