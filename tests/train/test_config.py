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
