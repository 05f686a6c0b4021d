"""Adapter folders and safetensors files of any content: an adapter, or an error for people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from fuzz.mutations import FUZZED, LONG, spoiled, spoiled_bytes, told
from hypothesis import example, given
from hypothesis import strategies as st

from langmerge.adapter import CONFIG_NAME, TENSORS_NAME, Adapter, LoraFactors
from langmerge.errors import AdapterError
from langmerge.merging import inspect_adapters
from langmerge.tensors import FileTensors

pytestmark = pytest.mark.timeout(3600 if LONG else 300)

CONFIG = {
    "peft_type": "LORA", "r": 2, "lora_alpha": 4, "rank_pattern": {"q": 2}, "alpha_pattern": {},
    "use_rslora": False, "base_model_name_or_path": "base", "target_modules": ["q", "v"],
    "init_lora_weights": True, "modules_to_save": None, "fan_in_fan_out": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    factors = LoraFactors(torch.ones(2, 3), torch.ones(4, 2), 2.0)
    adapter = Adapter.from_factors({"m.q": factors, "m.v": factors})
    return adapter.save(tmp_path_factory.mktemp("adapter"))


def read_all(folder: Path) -> None:
    adapter = Adapter.load(folder)
    assert adapter.digest
    inspect_adapters([adapter])


@FUZZED
@given(config=spoiled(CONFIG))
@example(config={**CONFIG, "r": 10**400})
@example(config={**CONFIG, "lora_alpha": 10**400})
@example(config={**CONFIG, "rank_pattern": {"(": 1}})
@example(config={**CONFIG, "init_lora_weights": "pissa"})
@example(config={**CONFIG, "base_model_name_or_path": ["x"]})
def test_configurations(whole: Path, config: Any) -> None:
    (whole / CONFIG_NAME).write_text(json.dumps(config), encoding="utf-8")
    told(lambda: read_all(whole))


@FUZZED
@given(data=st.data())
def test_tensor_files(whole: Path, data: st.DataObject) -> None:
    (whole / CONFIG_NAME).write_text(json.dumps({**CONFIG, "rank_pattern": {}}), encoding="utf-8")
    path = whole / TENSORS_NAME
    before = path.read_bytes()
    length = int.from_bytes(before[:8], "little")
    header = json.loads(before[8 : 8 + length])
    text = json.dumps(data.draw(spoiled(header))).encode()
    made = len(text).to_bytes(8, "little") + text + before[8 + length :]
    path.write_bytes(data.draw(st.just(made) | spoiled_bytes(before)))
    try:
        told(lambda: read_all(whole))
    finally:
        path.write_bytes(before)


def test_a_header_may_not_point_outside_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    layout = {"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}
    text = json.dumps(layout).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"\x00" * 8)
    with pytest.raises(AdapterError, match="cannot be read as safetensors"):
        FileTensors(path)
    path.write_bytes((2**62).to_bytes(8, "little"))
    with pytest.raises(AdapterError, match="cannot be read as safetensors"):
        FileTensors(path)
