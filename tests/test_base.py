import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

from langmerge import base as base_module
from langmerge.base import resolve_base, weights_bytes
from langmerge.errors import BaseModelError


@pytest.fixture
def checkpoint(tmp_path):
    folder = tmp_path / "base"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "tokenizer.json").write_text("{}")
    (folder / "tokenizer_config.json").write_text("{}")
    return folder


def resolve(checkpoint, tmp_path, spec=None):
    return resolve_base(spec or str(checkpoint), tmp_path, tmp_path / "cache")


def test_a_folder_is_found_from_the_project(checkpoint, tmp_path):
    found = resolve(checkpoint, tmp_path, "base")
    assert (found.kind, found.location) == ("folder", checkpoint)
    assert found == resolve(checkpoint, tmp_path)
    assert found.identity() == {
        "weights": found.weights_digest,
        "tokenizer": found.tokenizer_digest,
    }


@pytest.mark.parametrize(
    ("file", "weights", "tokenizer"),
    [
        ("model.safetensors", True, False),
        ("config.json", True, False),
        ("tokenizer.json", False, True),
        ("tokenizer_config.json", False, True),
        ("chat_template.jinja", False, True),
        ("README.md", False, False),
    ],
)
def test_each_digest_depends_on_its_files(checkpoint, tmp_path, file, weights, tokenizer):
    before = resolve(checkpoint, tmp_path)
    (checkpoint / file).write_text('{"changed": 1}')
    after = resolve(checkpoint, tmp_path)
    assert (before.weights_digest != after.weights_digest) == weights
    assert (before.tokenizer_digest != after.tokenizer_digest) == tokenizer


def test_moving_a_folder_changes_no_digest(checkpoint, tmp_path):
    before = resolve(checkpoint, tmp_path).identity()
    moved = checkpoint.rename(tmp_path / "elsewhere")
    assert resolve(moved, tmp_path).identity() == before


def test_files_are_hashed_once(checkpoint, tmp_path, monkeypatch):
    first = resolve(checkpoint, tmp_path)
    monkeypatch.setattr(base_module, "digest_of_file", lambda path: pytest.fail(f"read {path}"))
    assert resolve(checkpoint, tmp_path) == first


def test_a_damaged_digest_cache_is_rebuilt(checkpoint, tmp_path):
    first = resolve(checkpoint, tmp_path)
    (tmp_path / "cache" / "file-digests.json").write_text("{")
    assert resolve(checkpoint, tmp_path) == first


def test_an_unwritable_cache_costs_only_time(checkpoint, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    with_folder = resolve_base("base", tmp_path, tmp_path / "other-cache")
    assert resolve(checkpoint, tmp_path) == with_folder


def test_a_hub_model_is_its_id_and_commit():
    spec = SimpleNamespace(model="org/name", revision="0123456789" * 4)
    found = resolve_base(spec, "unused", "unused")
    assert found.weights_digest == f"hub:org/name@{spec.revision}"
    assert (found.kind, found.location, found.revision) == ("hub", "org/name", spec.revision)


def test_a_gguf_file_is_its_bytes(tmp_path):
    (tmp_path / "model.gguf").write_bytes(b"GGUF and so on")
    found = resolve_base("model.gguf", tmp_path, tmp_path / "cache")
    assert found.kind == "gguf"
    assert found.weights_digest == found.tokenizer_digest
    assert found.checkpoint.parent.parent == tmp_path / "cache"


@pytest.mark.parametrize(
    ("remove", "add", "message"),
    [
        ("config.json", None, "no config.json"),
        ("config.json", "adapter_config.json", "PEFT adapter"),
        ("model.safetensors", None, "found none"),
        ("model.safetensors", "pytorch_model.bin", "can run code"),
        ("tokenizer.json", None, "no tokenizer"),
    ],
)
def test_a_folder_that_cannot_be_used_says_why(checkpoint, tmp_path, remove, add, message):
    (checkpoint / remove).unlink()
    if add:
        (checkpoint / add).write_text("x")
    with pytest.raises(BaseModelError, match=message):
        resolve(checkpoint, tmp_path)


def test_nothing_there(tmp_path):
    with pytest.raises(BaseModelError, match=r"nothing at .*org/name.*revision"):
        resolve_base("org/name", tmp_path, tmp_path)


def test_a_file_that_is_no_gguf(tmp_path):
    (tmp_path / "model.gguf").write_bytes(b"PK")
    with pytest.raises(BaseModelError, match="not a GGUF file"):
        resolve_base("model.gguf", tmp_path, tmp_path)


def test_weights_take_what_the_loaded_dtype_takes(tiny_base_folder, tmp_path):
    import torch
    from safetensors.torch import load_file, save_file
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_base_folder)
    elements = sum(weight.numel() for weight in model.parameters())
    folder = tmp_path / "base"
    shutil.copytree(tiny_base_folder, folder)
    save_file({"other": torch.ones(9)}, folder / "other.safetensors")  # nobody loads it
    base = resolve_base(str(folder), tmp_path, tmp_path / "cache")
    assert (weights_bytes(base, 4), weights_bytes(base, 2)) == (4 * elements, 2 * elements)

    weights = load_file(folder / "model.safetensors")
    save_file({n: w.bfloat16() for n, w in weights.items()}, folder / "model.safetensors")
    assert weights_bytes(base, 4) == 4 * elements

    shutil.rmtree(folder)
    model.save_pretrained(folder, max_shard_size="20KB")
    assert not (folder / "model.safetensors").exists()
    save_file({"other": torch.ones(9)}, folder / "other.safetensors")
    assert weights_bytes(base, 2) == 2 * elements

    next(iter(sorted(folder.glob("model*.safetensors")))).write_bytes(b"half a header")
    with pytest.raises(BaseModelError, match="cannot be read as safetensors"):
        weights_bytes(base, 2)


def test_resolving_imports_no_torch():
    code = (
        "import sys, langmerge.base, langmerge.train.config;"
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ})
