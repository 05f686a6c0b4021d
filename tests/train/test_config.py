import pytest
from pydantic import ValidationError

from langmerge.train.config import LoraSettings, TrainConfig


@pytest.mark.parametrize(
    ("model", "values", "message"),
    [
        (LoraSettings, {"lora_aplha": 3}, "lora_alpha"),
        (LoraSettings, {"r": 0}, "greater than 0"),
        (LoraSettings, {"bias": "all"}, "none"),
        (TrainConfig, {"learning_rat": 1}, "learning_rate"),
        (TrainConfig, {"learning_rate": 0}, "greater than 0"),
        (TrainConfig, {"max_steps": 0}, "max_steps is 0"),
        (TrainConfig, {"lr_scheduler_type": "polynomial"}, "cosine"),
    ],
)
def test_mistakes_are_named(model, values, message):
    with pytest.raises(ValidationError, match=message):
        model(**values)


def test_settings_come_back_from_json():
    lora = LoraSettings(target_modules=["q_proj"], rank_pattern={"q_proj": 4})
    assert LoraSettings(**lora.model_dump(mode="json")) == lora


def test_what_a_key_holds_stays_the_same_while_later_options_are_off():
    off = TrainConfig(eval_steps=5, grouping="grouped", gradient_checkpointing=True).effective()
    assert set(off) == {
        "learning_rate",
        "num_train_epochs",
        "max_steps",
        "per_device_train_batch_size",
        "gradient_accumulation_steps",
        "lr_scheduler_type",
        "warmup_ratio",
        "warmup_steps",
        "weight_decay",
        "max_grad_norm",
        "adam_beta1",
        "adam_beta2",
        "adam_epsilon",
        "max_length",
        "dtype",
    }
    on = TrainConfig(eval_steps=5, early_stopping_patience=2).effective()
    assert set(on) - set(off) == {"eval_steps", "early_stopping_patience"}
    quantized = TrainConfig(load_in_4bit=True).effective()
    assert set(quantized) - set(off) == {"load_in_4bit"}
    assert quantized["load_in_4bit"] is True


def test_early_stopping_needs_measurements():
    with pytest.raises(ValidationError, match="give eval_steps"):
        TrainConfig(early_stopping_patience=2)
