"""Models out: equal in every reader, with card and digests, on the Hub without the token shown."""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
import yaml
from projects import make_project
from typer.testing import CliRunner

from langmerge.adapter import Adapter, LoraFactors
from langmerge.canonical import digest_of_file
from langmerge.cli import app
from langmerge.cli.run import run_project
from langmerge.errors import UserError
from langmerge.publish.hub import check_name, push
from langmerge.publish.uniform import is_uniform, uniform
from langmerge.servers import limits, vllm_rank

TOKEN = "hf_notarealtokenjustatest"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_base_folders) -> Path:
    project = make_project(
        tmp_path_factory.mktemp("publish"), tiny_base_folders("qwen2"),
        compare=["base", "individual"],
    )  # fmt: skip
    run_project(project)
    return project


def export(project: Path, folder: Path, *options: str) -> str:
    result = CliRunner().invoke(
        app, ["export", str(folder), *options, "--project", str(project)], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    return result.output


def uneven() -> Adapter:
    """Return an adapter of two modules that differ in rank and scale."""
    torch.manual_seed(0)
    return Adapter.from_factors(
        {
            "model.layers.0.self_attn.q_proj": LoraFactors(
                torch.randn(4, 8), torch.randn(6, 4), scale=0.5
            ),
            "model.layers.1.self_attn.q_proj": LoraFactors(
                torch.randn(7, 8), torch.randn(6, 7), scale=2.0
            ),
        },
        base_model="org/model",
    )


def delta(folder: Path, module: str, scale: float) -> torch.Tensor:
    from safetensors.torch import load_file

    found = load_file(folder / "adapter_model.safetensors")
    name = f"base_model.model.{module}"
    return scale * found[f"{name}.lora_B.weight"] @ found[f"{name}.lora_A.weight"]


def readings(folder: Path, module: str) -> dict[str, torch.Tensor]:
    """Return a module's change as servers that know no patterns compute it."""
    config = json.loads((folder / "adapter_config.json").read_text())
    rank = Adapter.load(folder).shapes[module].rank
    return {
        # vllm/lora/peft_helper.py before it read patterns: one scaling factor for all modules.
        "vllm": delta(folder, module, config["lora_alpha"] / config["r"]),
        # llama.cpp's llama_adapter_lora_weight::get_scale: alpha over the tensor's own rank.
        "llama.cpp": delta(folder, module, config["lora_alpha"] / rank),
    }


def test_a_uniform_adapter_is_the_same_in_every_reader(tmp_path: Path) -> None:
    adapter = uneven()
    before = adapter.save(tmp_path / "before")
    after = uniform(adapter).save(tmp_path / "after")

    config = json.loads((after / "adapter_config.json").read_text())
    assert config["r"] == config["lora_alpha"] == 7
    assert not config["rank_pattern"]
    assert not config["alpha_pattern"]
    wrong = 0
    for module in adapter.modules:
        expected = adapter.factors(module).delta()
        torch.testing.assert_close(Adapter.load(after).factors(module).delta(), expected)
        for found in readings(after, module).values():
            torch.testing.assert_close(found, expected)
        wrong += sum(not torch.allclose(f, expected) for f in readings(before, module).values())
    assert wrong, "with patterns, some reader takes another scale"
    assert not is_uniform(adapter)
    assert is_uniform(uniform(adapter))


def test_what_servers_will_not_take_is_said() -> None:
    def adapter(rank: int, **options) -> Adapter:
        factors = {"m": LoraFactors(torch.zeros(rank, 600), torch.zeros(600, rank))}
        return Adapter.from_factors(factors, **options)

    assert list(limits(adapter(64))) == []
    assert vllm_rank(adapter(65)) == 128
    assert "rank 520: vLLM takes adapters up to 512" in next(limits(adapter(520)))
    assert "embedding" in next(limits(adapter(8, embeddings={"m"})))
    assert "transposed" in next(limits(adapter(8, fan_in_fan_out=True)))
    assert "no LoRA factor" in next(limits(adapter(8, extras={"head.bias": torch.zeros(3)})))


def test_vllms_own_check_takes_an_exported_adapter(finished: Path, tmp_path: Path) -> None:
    helper = pytest.importorskip("vllm.lora.peft_helper")
    export(finished, tmp_path / "adapter")

    helper.PEFTHelper.from_local_dir(str(tmp_path / "adapter"), None)


def test_an_exported_folder_has_a_card_and_digests(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    shown = export(finished, folder)

    assert "a PEFT adapter, for vLLM with --max-lora-rank" in shown
    assert is_uniform(Adapter.load(folder))
    digests = json.loads((folder / "langmerge_digests.json").read_text())
    assert digests["model"] == "merged:ties"
    assert set(digests["files"]) == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "langmerge_recipe.json",
    }
    for name, digest in digests["files"].items():
        assert digest_of_file(folder / name) == digest
    card = (folder / "README.md").read_text()
    _, metadata, body = card.split("---\n", 2)
    found = yaml.safe_load(metadata)
    assert found["base_model"] == "qwen2"
    assert found["library_name"] == "peft"
    assert found["language"] == ["de", "en"]
    assert "| de |" in body
    assert "`ties`" in body
    assert digests["files"]["adapter_model.safetensors"] in body
    assert str(finished.parent) not in card


class Hub(BaseHTTPRequestHandler):
    """The part of the Hub's API that an upload of small files uses."""

    server: "HubServer"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.tokens.append(self.headers.get("Authorization", ""))
        if self.server.refuses:
            self.answer(401, {"error": f"no access for {self.headers.get('Authorization')}"})
        elif self.path == "/api/repos/create":
            self.server.created.append(json.loads(body))
            self.answer(200, {"url": f"{self.server.address}/user/name"})
        elif self.path == "/api/validate-yaml":
            self.answer(200, {"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            files = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                for file in json.loads(body)["files"]
            ]
            self.answer(200, {"files": files})
        elif "/commit/" in self.path:
            for line in body.decode().splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    value = entry["value"]
                    self.server.files[value["path"]] = base64.b64decode(value["content"])
                else:
                    self.server.messages.append(entry["value"]["summary"])
            url = f"{self.server.address}/user/name/commit/{'a' * 40}"
            self.answer(200, {"success": True, "commitUrl": url, "commitOid": "a" * 40})
        else:
            self.answer(404, {"error": self.path})

    def do_GET(self) -> None:
        self.answer(200, {"id": "user/name", "siblings": [], "sha": "b" * 40, "name": "user"})

    def answer(self, status: int, content: dict) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class HubServer(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Hub)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.refuses = False
        self.created: list[dict] = []
        self.files: dict[str, bytes] = {}
        self.messages: list[str] = []
        self.tokens: list[str] = []


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with HubServer() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def client(hub: HubServer):
    from huggingface_hub import HfApi

    return HfApi(endpoint=hub.address, token=TOKEN)


def test_a_folder_reaches_the_hub_whole(hub: HubServer, finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    export(finished, folder)

    url = push(folder, "user/name", message="a merge", private=True, api=client(hub))

    assert url.endswith("/commit/" + "a" * 40)
    assert hub.messages == ["a merge"]
    assert hub.created[0]["name"] == "name"
    assert hub.files == {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {token for token in hub.tokens if token} == {f"Bearer {TOKEN}"}
    assert not any(TOKEN.encode() in content for content in hub.files.values())


def test_the_token_is_in_no_message(hub: HubServer, tmp_path: Path) -> None:
    hub.refuses = True
    (tmp_path / "README.md").write_text("a card")

    with pytest.raises(UserError) as caught:
        push(tmp_path, "user/name", message="m", private=False, api=client(hub))

    message = str(caught.value)
    assert "--push-to-hub user/name" in message
    assert "hf auth login" in message
    assert "\n" not in message
    assert TOKEN not in message
    assert caught.value.__cause__ is None


def test_the_verb_pushes_what_it_wrote(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed = {}

    class Api:
        token = None

        def create_repo(self, repo_id: str, **options) -> None:
            pushed["repository"] = repo_id, options["private"]

        def upload_folder(self, *, folder_path: Path, **options) -> str:
            for path in Path(folder_path).iterdir():
                assert str(finished.parent).encode() not in path.read_bytes()
                assert b"bases0" not in path.read_bytes()  # the folder that holds the base
            pushed["files"] = sorted(path.name for path in Path(folder_path).iterdir())
            return "https://hub.example/commit/1"

    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    shown = export(finished, tmp_path / "x", "--push-to-hub", "user/name", "--private")

    assert "Pushed to https://hub.example/commit/1" in shown
    assert pushed["repository"] == ("user/name", True)
    assert "README.md" in pushed["files"]
    for wrong in ("name", "a/b/c", "user/../x", "user/na me"):
        with pytest.raises(UserError, match="expected USER/NAME"):
            check_name(wrong)


def test_a_checkpoint_becomes_gguf_and_back_with_equal_logits(
    finished: Path, tmp_path: Path
) -> None:
    pytest.importorskip("gguf")
    from test_gguf_conversion import write_gguf
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from langmerge.gguf_conversion import convert_gguf

    folder = tmp_path / "full"
    export(finished, folder, "--checkpoint")
    files = {path.name for path in folder.iterdir()}
    # What convert_hf_to_gguf.py reads: the architecture, the weights, the tokenizer.
    assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"} <= files
    assert json.loads((folder / "config.json").read_text())["architectures"] == ["Qwen2ForCausalLM"]
    model = AutoModelForCausalLM.from_pretrained(folder)
    write_gguf(tmp_path / "m.gguf", model, AutoTokenizer.from_pretrained(folder))

    back = AutoModelForCausalLM.from_pretrained(
        convert_gguf(tmp_path / "m.gguf", tmp_path / "back")
    )

    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.inference_mode():
        torch.testing.assert_close(back(ids).logits, model(ids).logits)


def test_a_sentencepiece_vocabulary_goes_along(tmp_path: Path) -> None:
    from langmerge.publish.export import copy_vocabulary

    (tmp_path / "base").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "base/tokenizer.model").write_bytes(b"pieces")
    (tmp_path / "base/spiece.model").write_bytes(b"other pieces")
    (tmp_path / "out/spiece.model").write_bytes(b"written already")

    copy_vocabulary(tmp_path / "base", tmp_path / "out")

    assert (tmp_path / "out/tokenizer.model").read_bytes() == b"pieces"
    assert (tmp_path / "out/spiece.model").read_bytes() == b"written already"


def test_the_serving_example_knows_its_adapters(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    import runpy
    import sys
    import types

    served = tmp_path / "served"
    export(finished, served / "merged")
    for language in ("de", "en"):
        export(finished, served / language, "--model", "individual", "--language", language)
    example = Path(__file__).parents[2] / "examples/serve_vllm.py"

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", [str(example), *arguments])
        runpy.run_path(str(example), run_name="__main__")
        return capsys.readouterr().out

    options = ("--base", "org/model", "--adapters", str(served))
    command = run(*options, "--print-server")
    assert command.startswith("vllm serve org/model --enable-lora --max-lora-rank 64 --max-loras 3")
    assert f"merged={served / 'merged'} de={served / 'de'} en={served / 'en'}" in command

    asked = []

    class LLM:
        def __init__(self, **options) -> None:
            asked.append(options)

        def generate(self, prompts, sampling, lora_request):
            asked.append(lora_request)
            text = types.SimpleNamespace(text=" good")
            return [types.SimpleNamespace(outputs=[text]) for _ in prompts]

    vllm = types.ModuleType("vllm")
    vllm.LLM, vllm.SamplingParams = LLM, lambda **options: options
    request = types.ModuleType("vllm.lora.request")
    request.LoRARequest = lambda *arguments: arguments
    modules = {"vllm": vllm, "vllm.lora": types.ModuleType("vllm.lora")}
    for name, module in {**modules, "vllm.lora.request": request}.items():
        monkeypatch.setitem(sys.modules, name, module)
    data = finished.parent / "data/classification/{language}/test.jsonl"
    shown = run(*options, "--data", str(data))
    assert asked[0]["max_lora_rank"] == 64
    assert [each[0] for each in asked[1:]] == ["merged", "de", "merged", "en"]
    assert "merged: right 2/4" in shown
    assert "merged and de agree on 4/4" in shown
