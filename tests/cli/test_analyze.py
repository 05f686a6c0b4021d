"""`langmerge analyze` as a user calls it."""

import json
import subprocess
import sys

import pytest
import torch
from typer.testing import CliRunner

from langmerge.adapter import Adapter, LoraFactors
from langmerge.cli import app
from langmerge.errors import AdapterError
from langmerge.merging import merge

runner = CliRunner()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("adapters")
    opened = []
    for seed, name in enumerate(("de", "fr", "[red]ja")):
        draw = torch.Generator().manual_seed(seed)
        factors = {
            f"model.layers.{layer}.self_attn.q_proj": LoraFactors(
                a=torch.randn(2, 6, generator=draw), b=torch.randn(8, 2, generator=draw)
            )
            for layer in range(2)
        }
        opened.append(Adapter.from_factors(factors, base_model="toy"))
        opened[-1].save(root / name)
    merge(opened, "linear").save(root / "merged")
    return root


def call(*arguments):
    result = runner.invoke(app, ["analyze", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_tables_and_tree(folder, monkeypatch) -> None:
    shown = call(folder / "de", folder / "fr", folder / "[red]ja", "--merged", folder / "merged")
    for part in (
        "language vectors",
        "kept by the merged adapter",
        "equal signs at density 0.2",
        "overlap of singular subspaces",
        "self_attn.q_proj",
        "model.layers.1",
        "[red]ja",
        "clusters, by mean cosine",
        "└── ",
    ):
        assert part in shown, part


def test_json(folder) -> None:
    found = json.loads(call(folder / "de", f"b={folder / 'fr'}", "--density", "0", "--json"))
    assert found["names"] == ["de", "b"]
    assert found["signs"] is None
    assert found["kept"] is None
    assert len(found["joins"]) == 1


def test_differences_to_an_ancestor(folder) -> None:
    arguments = (folder / "de", folder / "fr", "--density", "0", "--json")
    plain = json.loads(call(*arguments))
    found = json.loads(call(*arguments, "--ancestor", folder / "[red]ja"))
    assert found["whole"]["norms"] != plain["whole"]["norms"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["de"], "expected two adapters or more"),
        (["de", "../{}/de"], "name both, as in de-1="),
        (["de", "xx"], "expected an adapter's folder, found nothing"),
        (["de", "fr", "--density", "2"], "--density is 2, expected a number from 0 to 1"),
    ],
)
def test_mistakes(folder, monkeypatch, arguments, message) -> None:
    monkeypatch.chdir(folder)
    arguments = [argument.format(folder.name) for argument in arguments]
    with pytest.raises(AdapterError, match=message):
        runner.invoke(app, ["analyze", *arguments], catch_exceptions=False)


def test_the_verb_imports_no_torch_until_it_is_called() -> None:
    code = (
        "import sys\nfrom langmerge.cli import app\n"
        "try: app(['analyze', '--help'])\nexcept SystemExit as e: assert not e.code\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--merged" in done.stdout
