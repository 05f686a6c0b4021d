"""Adapters trained elsewhere join a project, are used as they are, and are kept up from there."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from projects import make_project, write_rows
from projects import rows as made_rows
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from langmerge.adapter import Adapter
from langmerge.cli import app
from langmerge.cli.run import run_project
from langmerge.errors import AdapterError, ProjectError
from langmerge.upkeep.adoption import Adoption, adopt
from langmerge.upkeep.bill import make_bill, read_ledger
from langmerge.workspace import open_workspace

DE = "train/classification/de/seed0"


@pytest.fixture
def project(tmp_path: Path, tiny_base_folder: Path) -> Path:
    return make_project(tmp_path / "project", tiny_base_folder, compare=["base", "individual"])


@pytest.fixture(scope="session")
def peft_adapter(tiny_base_folder: Path, tmp_path_factory: pytest.TempPathFactory):
    """A function that writes an adapter with PEFT itself, its B away from zero."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    def make(name: str = "adapter", rank: int = 2, **options) -> Path:
        folder = tmp_path_factory.mktemp("made") / name
        torch.manual_seed(3)
        base = AutoModelForCausalLM.from_pretrained(tiny_base_folder)
        settings = {"lora_alpha": 2 * rank, "target_modules": ["q_proj", "v_proj"], **options}
        model = get_peft_model(base, LoraConfig(r=rank, task_type="CAUSAL_LM", **settings))
        with torch.no_grad():
            for parameter_name, parameter in model.named_parameters():
                if "lora_B" in parameter_name:
                    parameter.normal_(std=0.05)
        model.save_pretrained(folder)
        return folder

    return make


def take_in(project: Path, folder: Path, **options) -> Adoption:
    return adopt(open_workspace(project), "de", folder, **options)


def decision_of(project: Path, job: str = DE) -> dict:
    result = CliRunner().invoke(app, ["plan", "--json", "--project", str(project)])
    return next(each for each in json.loads(result.stdout) if each["id"] == job)


def add_rows(project: Path) -> None:
    path = project.parent / "data/classification/de/train.jsonl"
    write_rows(path, made_rows("classification", "de", "train", 9))


def test_an_adopted_adapter_is_merged_and_never_trained(project: Path, peft_adapter) -> None:
    folder = peft_adapter("german-lora")

    result = CliRunner().invoke(app, ["adopt", "de", str(folder), "--project", str(project)])
    assert result.exit_code == 0, result.output
    assert f"Adopted {folder} as {DE}: 4 modules, rank 2." in result.output
    assert decision_of(project)["reason"] == "adopted from german-lora"
    planned = CliRunner().invoke(app, ["plan", "--project", str(project)]).stdout
    assert [line.split() for line in planned.splitlines() if DE in line] == [
        ["reuse", DE, "adopted", "from", "german-lora"]
    ]
    outcome = run_project(project)

    assert outcome.results[DE].outcome == "reused"
    trained = [r.decision.job.id for r in outcome.of("ran") if r.decision.job.kind == "train"]
    assert trained == ["train/classification/en/seed0"]
    action = outcome.results[DE].action
    assert action is not None
    store = open_workspace(project).store
    kept = Adapter.load(store.object(action.output))
    assert kept.digest == Adapter.load(folder).digest == action.document["adopted"]["adapter"]
    assert set(action.document) == {"kind", "step", "base", "data", "task", "seed", "adopted"}
    assert str(folder) not in json.dumps(dict(action.document))


def test_what_its_training_cost_is_said_to_be_unknown(project: Path, peft_adapter) -> None:
    take_in(project, peft_adapter())
    run_project(project)

    runner = CliRunner()
    shown = runner.invoke(app, ["results", "--project", str(project)]).stdout
    assert "+?: the adapters of de were adopted; what their training cost is not known" in shown
    cost = runner.invoke(app, ["cost", "--project", str(project)]).stdout
    assert "took in classification de: adopted from adapter." in cost
    bill = make_bill(read_ledger(project.parent / ".langmerge"))
    assert [run.kind for run in bill.runs] == ["adoption", "initial"]
    assert bill.runs[0].by_kind["train"].attempts == 0
    found = json.loads((project.parent / "results.json").read_text())
    (job,) = [job for job in found["jobs"] if job["id"] == DE]
    assert job["seconds"] is None
    assert job["tokens"] is None


def test_newer_rows_train_it_anew(project: Path, peft_adapter) -> None:
    take_in(project, peft_adapter())
    run_project(project)
    add_rows(project)

    decision = decision_of(project)
    assert decision["action"] == "run"
    assert decision["reason"] == "data.de (+3 rows, -0) changed"
    outcome = run_project(project)
    assert outcome.results[DE].outcome == "ran"
    bill = make_bill(read_ledger(project.parent / ".langmerge"))
    assert [run.kind for run in bill.runs] == ["adoption", "initial", "update"]
    assert decision_of(project)["reason"] == "nothing it depends on changed"


def test_newer_rows_continue_it_where_that_is_asked_for(project: Path, peft_adapter) -> None:
    text = project.read_text()
    project.write_text(
        text.replace("r: 2", "r: 2\n  target_modules: [q_proj, v_proj]")
        + "update: {mode: continue}\n"
    )
    take_in(project, peft_adapter())
    adopted = run_project(project).results[DE].action
    add_rows(project)

    assert decision_of(project)["reason"].endswith("changed; continues its last adapter")
    action = run_project(project).results[DE].action

    assert adopted is not None
    assert action is not None
    assert action.document["continued"]["from"] == adopted.output
    assert "adopted" not in action.document
    assert action.facts["rows"] == 9  # which rows it knows, nothing tells: all are gone over


def test_settings_of_training_mean_nothing_to_it(project: Path, peft_adapter) -> None:
    take_in(project, peft_adapter())
    project.write_text(project.read_text().replace("learning_rate: 0.01", "learning_rate: 0.02"))
    assert decision_of(project)["action"] == "reuse"

    project.write_text(
        project.read_text().replace("type: class", "prompt: '{text}?'\n    type: class")
    )
    decision = decision_of(project)
    assert decision["action"] == "run"
    assert decision["reason"] == "task.de.prompt changed"


def test_another_rank_is_said_to_be_one(project: Path, peft_adapter) -> None:
    found = take_in(project, peft_adapter(rank=4))

    assert found.ranks == (4,)
    assert any("rank 4 and scale 2, where the project trains with 2" in w for w in found.warnings)
    assert run_project(project).of("failed") == []


def test_other_modules_are_said_to_be_others(project: Path, peft_adapter) -> None:
    text = project.read_text()
    project.write_text(text.replace("adapter:\n", "adapter:\n  target_modules: [q_proj, v_proj]\n"))
    fewer = take_in(project, peft_adapter(target_modules=["q_proj"])).warnings
    assert any("not 2 of the 4 that the project trains (such as" in w for w in fewer), fewer
    assert any("languages.de.adapter.target_modules" in w for w in fewer)
    other = take_in(project, peft_adapter(target_modules=["q_proj", "k_proj"])).warnings
    assert any("not 2 of the 4" in w and "2 that it does not train" in w for w in other), other
    assert not any("modules" in w for w in take_in(project, peft_adapter()).warnings)


def test_half_precision_is_kept_and_merged(project: Path, peft_adapter, tmp_path: Path) -> None:
    import torch

    folder = tmp_path / "half"
    shutil.copytree(peft_adapter(), folder)
    path = folder / "adapter_model.safetensors"
    save_file({name: t.to(torch.bfloat16) for name, t in load_file(path).items()}, path)

    take_in(project, folder)
    outcome = run_project(project)

    assert outcome.of("failed", "skipped") == []
    kept = outcome.results[DE].action
    assert kept is not None
    found = Adapter.load(open_workspace(project).store.object(kept.output))
    assert {header.dtype for header in found.headers.values()} == {"BF16"}


LAYOUTS = {
    "trl": ["README.md", "chat_template.jinja", "tokenizer.json", "training_args.bin"],
    "axolotl": ["README.md", "config.json", "debug.log", "special_tokens_map.json"],
    "llama-factory": ["all_results.json", "trainer_log.jsonl", "training_args.bin", "vocab.json"],
}
CHECKPOINT = ["optimizer.pt", "rng_state.pth", "scheduler.pt", "trainer_state.json"]


@pytest.mark.parametrize("trainer", LAYOUTS)
def test_folders_as_trainers_leave_them(
    project: Path, peft_adapter, tmp_path: Path, trainer: str
) -> None:
    output = tmp_path / trainer
    shutil.copytree(peft_adapter(), output)
    shutil.copytree(peft_adapter(), output / "checkpoint-6")
    for name in (*LAYOUTS[trainer], *(f"checkpoint-6/{name}" for name in CHECKPOINT)):
        (output / name).write_bytes(b"\x80\x04. not to be read")

    found = take_in(project, output)
    assert take_in(project, output / "checkpoint-6").digest == found.digest
    assert decision_of(project)["reason"] == f"adopted from {trainer}/checkpoint-6"
    shutil.copytree(output / "checkpoint-6", output / "checkpoint-9")
    (output / "adapter_config.json").unlink()
    with pytest.raises(AdapterError, match=r"holds 2 adapters \(checkpoint-6, checkpoint-9\)"):
        take_in(project, output)


def test_refusals_say_why_in_one_line(project: Path, peft_adapter, tmp_path: Path) -> None:
    def altered(**config) -> Path:
        folder = tmp_path / f"altered-{len(list(tmp_path.iterdir()))}"
        shutil.copytree(peft_adapter(), folder)
        path = folder / "adapter_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **config}))
        return folder

    def tensors(change) -> Path:
        folder = altered()
        path = folder / "adapter_model.safetensors"
        found = load_file(path)
        change(found)
        save_file(found, path)
        return folder

    def pickled() -> Path:
        folder = altered()
        (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
        return folder

    def infinite(found) -> None:
        next(iter(found.values()))[0, 0] = float("nan")

    def renamed(found) -> None:
        for name in list(found):
            found[name.replace("layers.1", "layers.7")] = found.pop(name)

    for folder, message in (
        (altered(use_dora=True), "use_dora is set"),
        (pickled(), "pickled weights can run code"),
        (tensors(infinite), "NaN or infinity"),
        (tensors(renamed), "has no module 'model.layers.7"),
        (tmp_path / "nowhere", "found nothing"),
    ):
        with pytest.raises(AdapterError, match=message) as caught:
            take_in(project, folder)
        assert "\n" not in str(caught.value)
    assert not (project.parent / "langmerge.lock").exists()
    with pytest.raises(ProjectError, match="did you mean 'de'"):
        adopt(open_workspace(project), "dee", peft_adapter())
    with pytest.raises(ProjectError, match="--seed 7: the project has no such run"):
        take_in(project, peft_adapter(), seed=7)


ANCESTOR = "train/classification/ancestor/seed0"


@pytest.fixture
def descending(tmp_path: Path, tiny_base_folder: Path) -> Path:
    """A project whose languages start from an ancestor of the shape that PEFT's adapter has."""
    shape = {"r": 2, "lora_alpha": 4, "target_modules": ["q_proj", "v_proj"]}
    return make_project(
        tmp_path / "descending",
        tiny_base_folder,
        adapter={**shape, "init": "ancestor"},
        compare=["individual", "ancestor"],
    )


def test_a_combined_model_is_what_all_languages_start_from(descending: Path, peft_adapter) -> None:
    folder = peft_adapter("combined")
    arguments = ["adopt", "ancestor", str(folder), "--project", str(descending)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert f"Adopted {folder} as {ANCESTOR}: 4 modules, rank 2." in result.output
    assert decision_of(descending, ANCESTOR)["reason"] == "adopted from combined"

    first = run_project(descending)
    start, own = first.results[ANCESTOR].action, first.results[DE].action
    assert start is not None
    assert own is not None
    assert first.results[ANCESTOR].outcome == "reused"
    assert own.document["ancestor"] == start.output
    assert set(start.document) == {"kind", "step", "base", "task", "adapter", "seed", "adopted"}
    store = open_workspace(descending).store
    kept, trained = (Adapter.load(store.object(action.output)) for action in (start, own))
    assert kept.digest == Adapter.load(folder).digest
    module = kept.modules[0]
    moved = (trained.factors(module).b - kept.factors(module).b).abs().max()
    assert 0 < float(moved) < 0.2  # a few steps of 0.01 from where it started
    results = json.loads((descending.parent / "results.json").read_text())
    assert {s["language"] for s in results["scores"] if s["model"] == "ancestor"} == {"de", "en"}
    shown = CliRunner().invoke(app, ["cost", "--project", str(descending)]).stdout
    assert "took in classification ancestor: adopted from combined." in shown

    add_rows(descending)
    descending.write_text(descending.read_text().replace("rate: 0.01", "rate: 0.02"))
    again = run_project(descending)
    assert again.results[ANCESTOR].outcome == "reused"
    assert again.results[DE].outcome == "ran"


def test_an_adopted_ancestor_is_made_anew_where_it_no_longer_fits(
    descending: Path, peft_adapter
) -> None:
    adopt(open_workspace(descending), "ancestor", peft_adapter("combined"))
    run_project(descending)
    text = descending.read_text()
    descending.write_text(text.replace("type: class", "prompt: '{text}?'\n    type: class"))
    anew = decision_of(descending, ANCESTOR)
    assert anew["action"] == "run"
    replaces = "takes the place of the one adopted from combined"
    assert anew["reason"] == f"task.de.prompt, task.en.prompt changed; {replaces}"
    descending.write_text(text)
    assert decision_of(descending, ANCESTOR)["action"] == "reuse"

    remade = run_project(descending, remake_ancestor=True)
    assert remade.results[ANCESTOR].outcome == "ran"
    assert remade.results[ANCESTOR].decision.reason == replaces
    assert remade.results[DE].decision.reason == "ancestor changed"
    assert "adopted" not in remade.results[ANCESTOR].action.document
    assert decision_of(descending, ANCESTOR)["action"] == "reuse"


def test_an_adopted_ancestor_is_every_seeds(descending: Path, peft_adapter) -> None:
    descending.write_text(descending.read_text() + "seeds: [0, 1]\n")
    found = adopt(open_workspace(descending), "ancestor", peft_adapter("combined"))
    assert [job.seed for job in found.jobs] == [0, 1]
    run = run_project(descending)
    outcomes = {run.results[job.id].outcome for job in found.jobs}
    assert outcomes == {"reused"}
    assert found.warnings == ()


def test_an_adopted_ancestor_is_never_replaced_silently(descending: Path, peft_adapter) -> None:
    """Not by another adoption, and not by the one that the project had made before."""
    run_project(descending)
    folder = peft_adapter("combined")
    found = adopt(open_workspace(descending), "ancestor", folder)
    assert "takes the place of train/classification/ancestor/seed0" in found.warnings[-1]
    assert adopt(open_workspace(descending), "ancestor", folder).warnings == ()
    start = run_project(descending).results[ANCESTOR].action
    assert start is not None
    shutil.rmtree(open_workspace(descending).store.object(start.output))
    with pytest.raises(ProjectError, match="adopt it again if it was adopted"):
        run_project(descending)
    adopt(open_workspace(descending), "ancestor", folder)
    again = run_project(descending)
    assert {again.results[job].outcome for job in (ANCESTOR, DE)} == {"reused"}


def test_an_update_from_an_adopted_ancestor_has_a_price(descending: Path, peft_adapter) -> None:
    adopt(open_workspace(descending), "ancestor", peft_adapter("combined"))
    run_project(descending)
    result = CliRunner().invoke(app, ["report", "--project", str(descending)])
    assert result.exit_code == 0, result.output
    table = descending.parent / "report/tables/cost-quality.csv"
    with table.open(newline="", encoding="utf-8") as file:
        rows = {row["model"]: row for row in csv.DictReader(file)}
    for model in ("individual", "merged:ties"):
        assert not rows[model]["first training"]
        assert float(rows[model]["update of one language"]) > 0


def test_an_ancestor_of_another_shape_is_refused(
    descending: Path, project: Path, peft_adapter
) -> None:
    for folder, message in (
        (peft_adapter(rank=4), r"rank 4 and scale 2.*with 2 and 2; languages go on from it"),
        (peft_adapter(target_modules=["q_proj"]), "not 2 of the 4 that the project trains"),
    ):
        with pytest.raises(AdapterError, match=message):
            adopt(open_workspace(descending), "ancestor", folder)
    with pytest.raises(ProjectError, match=r"adapter\.init is shared, so its languages start from"):
        adopt(open_workspace(project), "ancestor", peft_adapter())
    with pytest.raises(ProjectError, match="langmerge adopt ancestor FOLDER"):
        take_in(descending, peft_adapter())


def test_copies_of_the_bases_embeddings_are_left_out_and_trained_ones_refused(
    project: Path, peft_adapter, tmp_path: Path, tiny_base_folder: Path
) -> None:
    folder = tmp_path / "with-embeddings"
    shutil.copytree(peft_adapter(), folder)
    path = folder / "adapter_model.safetensors"
    name = "base_model.model.model.embed_tokens.weight"
    embedding = load_file(tiny_base_folder / "model.safetensors")["model.embed_tokens.weight"]
    save_file({**load_file(path), name: embedding}, path)
    found = take_in(project, folder)
    assert found.modules == 4

    save_file({**load_file(path), name: embedding + 1}, path)
    with pytest.raises(AdapterError, match="is no LoRA factor and differs"):
        take_in(project, folder)


def test_names_of_other_bases(project: Path, peft_adapter, tmp_path: Path) -> None:
    folder = peft_adapter()
    path = folder / "adapter_config.json"
    path.write_text(
        json.dumps({**json.loads(path.read_text()), "base_model_name_or_path": "org/model"})
    )

    (warning,) = take_in(project, folder).warnings[:1]

    assert "names 'org/model' as its base" in warning


def test_it_is_kept_verified_and_released_like_any_other(project: Path, peft_adapter) -> None:
    take_in(project, peft_adapter())
    run_project(project)

    def call(*arguments: str) -> str:
        result = CliRunner().invoke(
            app, [*arguments, "--project", str(project)], catch_exceptions=False
        )
        assert result.exit_code == 0, result.output
        return result.output

    call("gc")
    call("verify")
    assert decision_of(project)["reason"] == "adopted from adapter"
    call("release")
    call("predict", "a text", "--language", "de", "--model", "individual")
