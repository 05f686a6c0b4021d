"""`langmerge evaluate` as a user calls it."""

import json
import subprocess
import sys

import pytest
import torch
from projects import LABELS, make_project, rows, write_rows
from typer.testing import CliRunner

from langmerge.adapter import Adapter, LoraFactors
from langmerge.cli import app
from langmerge.errors import BaseModelError, ProjectError, UserError

runner = CliRunner()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("LANGMERGE_CACHE", str(folder))
    return folder


@pytest.fixture
def no_model(monkeypatch):
    """From here on, loading a model is an error."""
    import langmerge.model

    def refuse(*_, **__):
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(langmerge.model, "load_base", refuse)


@pytest.fixture
def data(tmp_path):
    for task in ("classification", "multiple_choice", "generation"):
        for language in ("de", "en"):
            write_rows(tmp_path / task / language / "test.jsonl", rows(task, language, "test", 6))
    return tmp_path


def an_adapter(folder, base, **changes):
    draw = torch.Generator().manual_seed(0)
    factors = {
        "model.layers.0.mlp.down_proj": LoraFactors(
            a=torch.randn(2, 128, generator=draw), b=torch.randn(64, 2, generator=draw)
        )
    }
    Adapter.from_factors(factors, base_model=str(base), **changes).save(folder)
    return folder


def call(*arguments):
    result = runner.invoke(app, ["evaluate", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*arguments):
    result = runner.invoke(app, ["evaluate", *map(str, arguments)])
    assert isinstance(result.exception, UserError), result.output
    return str(result.exception)


CLASSIFY = ("--task", "classification", "--labels", ",".join(LABELS))


def scores(*arguments):
    return json.loads(call(*arguments, "--json"))


def test_a_checkpoint_in_all_languages_that_have_files(tiny_base_folder, data):
    pattern = data / "classification" / "{language}" / "test.jsonl"
    shown = call(tiny_base_folder, *CLASSIFY, "--data", pattern)
    assert ["metric", "de", "en", "mean"] in [line.split() for line in shown.splitlines()]
    assert "macro_f1|labels:occurring" in shown
    assert "de 6, en 6" in shown


@pytest.mark.parametrize("task", ["multiple_choice", "generation"])
def test_equals_what_a_project_measures(tiny_base_folder, tmp_path, task, monkeypatch):
    """The same rows, prompts and metrics by both ways give the same numbers."""
    monkeypatch.chdir(tmp_path)
    project = make_project(tmp_path, tiny_base_folder, tasks=[task], compare=["base", "individual"])
    result = runner.invoke(app, ["run", "--project", str(project)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    in_project = json.loads((tmp_path / "results.json").read_text())
    settings = ["--set", "max_new_tokens=6"] if task == "generation" else []
    found = scores(
        tiny_base_folder,
        *("--task", task, *settings, "--max-length", 64),
        *("--data", f"data/{task}/{{language}}/test.jsonl"),
    )
    for language in found["languages"]:
        (expected,) = [
            score["metrics"]
            for score in in_project["scores"]
            if (score["model"], score["language"], score["split"])
            == ("base", language["language"], "test")
        ]
        for name, measured in language["metrics"].items():
            assert measured["signature"] == expected[name]["signature"]
            assert measured["value"] == pytest.approx(expected[name]["value"], abs=1e-3)

    # The project's merged model on the same rows, as in its results.
    merged = scores(
        *("--project", project, "--model", "merged:ties", "--task", task),
        *("--data", tmp_path / "data" / task / "{language}" / "test.jsonl"),
    )
    (average,) = [
        average
        for average in in_project["averages"]
        if (average["model"], average["split"]) == ("merged:ties", "test")
    ]
    assert merged["average"]["value"] == pytest.approx(average["average"]["value"], abs=1e-3)
    assert merged["model"]["name"] == "merged:ties"


def test_answers_are_kept_and_used_again(tiny_base_folder, data, no_model, monkeypatch, cache):
    pattern = ("--data", data / "classification" / "{language}" / "test.jsonl")
    monkeypatch.undo()
    monkeypatch.setenv("LANGMERGE_CACHE", str(cache))
    first = scores(tiny_base_folder, *CLASSIFY, *pattern, "--language", "de")
    assert [language["cached"] for language in first["languages"]] == [False]

    import langmerge.model
    import langmerge.tasks.classification as task
    from langmerge.metrics import classification_metrics

    monkeypatch.setattr(langmerge.model, "load_base", None)
    # As another version of the metrics would: the first answers are scored anew.
    monkeypatch.setattr(
        task,
        "classification_metrics",
        lambda *given, **options: classification_metrics(*given, **options)[:1],
    )
    again = scores(tiny_base_folder, *CLASSIFY, *pattern, "--language", "de")
    (language,) = again["languages"]
    assert language["cached"]
    assert list(language["metrics"]) == ["macro_f1"]
    assert language["metrics"]["macro_f1"] == first["languages"][0]["metrics"]["macro_f1"]


@pytest.mark.parametrize("changed", ["rows", "prompt", "labels", "adapter", "max length", "fresh"])
def test_what_changes_answers_is_computed_again(tiny_base_folder, data, changed, tmp_path):
    file = data / "classification" / "de" / "test.jsonl"
    plain = {"model": tiny_base_folder, "labels": ",".join(LABELS), "prompt": "{text}", "more": ()}

    def cached(model, labels, prompt, more):
        found = scores(
            *(model, "--task", "classification", "--data", file, "--labels", labels),
            *("--prompt", prompt, *more),
        )
        return found["languages"][0]["cached"]

    assert not cached(**plain)
    assert cached(**plain)
    if changed == "rows":
        write_rows(file, rows("classification", "de", "test", 5))
    elif changed == "adapter":
        plain["model"] = an_adapter(tmp_path / "adapter", tiny_base_folder)
    else:
        plain |= {
            "prompt": {"prompt": "So: {text}"},
            "labels": {"labels": "bad,good"},
            "max length": {"more": ("--max-length", 20)},
            "fresh": {"more": ("--fresh",)},
        }[changed]
    assert not cached(**plain)


def test_an_adapter_on_the_base_it_names(tiny_base_folder, tiny_base, data, tmp_path):
    """It answers as the base does with the adapter's change added to its weight."""
    from langmerge.evaluate.likelihood import choice_log_likelihoods
    from langmerge.model import folded

    folder = an_adapter(tmp_path / "adapter", tiny_base_folder)
    file = data / "classification" / "de" / "test.jsonl"
    kept = tmp_path / "answers"
    call(
        *(folder, *CLASSIFY, "--data", file, "--language", "de", "--prompt", "{text}"),
        *("--predictions", kept, "--out", tmp_path / "scores.json"),
    )
    answers = [json.loads(line) for line in (kept / "de.jsonl").read_text().splitlines()]
    tokenizer = tiny_base.tokenizer
    prompts = [tokenizer(answer["source"]).input_ids for answer in answers]
    choices = [tokenizer(f" {label}", add_special_tokens=False).input_ids for label in LABELS]
    with folded(tiny_base, Adapter.load(folder)):
        expected = choice_log_likelihoods(tiny_base, prompts, [choices] * len(prompts))
    plain = choice_log_likelihoods(tiny_base, prompts, [choices] * len(prompts))
    found = torch.tensor([answer["scores"] for answer in answers])
    assert torch.allclose(found, torch.tensor(expected), atol=1e-3)
    assert not torch.allclose(found, torch.tensor(plain), atol=1e-2)
    written = json.loads((tmp_path / "scores.json").read_text())
    assert written["languages"][0]["n"] == 6
    assert written["model"]["adapter"] == Adapter.load(folder).digest


def test_one_file_of_several_languages(tiny_base_folder, tmp_path):
    both = [
        {**row, "lang": language}
        for language in ("de", "en")
        for row in rows("multiple_choice", language, "test", 3)
    ]
    write_rows(tmp_path / "all.jsonl", both)
    found = scores(
        *(tiny_base_folder, "--task", "multiple_choice", "--data", tmp_path / "all.jsonl"),
        *("--language", "en", "--language", "de", "--language-column", "lang"),
    )
    assert [(each["language"], each["n"]) for each in found["languages"]] == [("en", 3), ("de", 3)]


def test_a_model_that_writes_its_choice(tiny_base_folder, data):
    found = scores(
        *(tiny_base_folder, "--task", "multiple_choice", "--set", "generate=true"),
        *("--data", data / "multiple_choice" / "de" / "test.jsonl"),
    )
    assert found["primary_metric"] == "accuracy"
    assert "unparseable" in found["languages"][0]["metrics"]


def test_folders_with_markup_are_shown_as_they_are(tiny_base_folder, data):
    link = data / "[red]base"
    link.symlink_to(tiny_base_folder)
    file = data / "multiple_choice" / "de" / "test.jsonl"
    assert "[red]base" in call(link, "--task", "multiple_choice", "--data", file)


MISTAKES = [
    ((), "--data is missing"),
    (("--data", "{data}/no.jsonl"), "--task is missing: classification, multiple_choice"),
    (("--data", "x", "--task", "clasify"), "--task clasify: expected classification or"),
    (("--data", "x", "--task", "classification"), "--labels is missing"),
    (("--data", "{cls}", "--task", "classification", "--labels", "a,a"), "--labels: labels repeat"),
    (("--data", "{cls}", *CLASSIFY, "--prompt", "no field"), "--prompt: 'no field' has no field"),
    (("--data", "{cls}", *CLASSIFY, "--set", "temperature=1"), "unknown key 'temperature'"),
    (("--data", "{cls}", *CLASSIFY, "--set", "temperature"), "expected NAME=VALUE"),
    (("--data", "{cls}", *CLASSIFY, "--set", "shots=["), "--set shots=[: not readable as YAML"),
    (("--data", "{cls}", "--task", "classification", "--labels", "a,,b"), "a label is empty"),
    (("--data", "{cls}", *CLASSIFY, "--out", "{data}"), "a folder, expected a file"),
    (("--data", "{data}/no.jsonl", *CLASSIFY), "no.jsonl"),
    (("--data", "{data}/no/{{language}}.jsonl", *CLASSIFY), "no file fits"),
    (("--data", "{cls}", *CLASSIFY, "--language", "../de"), "--language ../de: not a code"),
    (("--data", "{cls}", *CLASSIFY, "--language", "de", "--language", "en"), "--language-column"),
    (("--data", "{cls}", "--task", "classification", "--labels", "x,y"), "label"),
    (("--data", "{gen}", "--task", "generation"), "--language is missing"),
    (("--data", "{cls}", *CLASSIFY, "--model", "base"), "name its file by --project"),
    (("--data", "{cls}", *CLASSIFY, "--base", "x"), "is no adapter's folder"),
    (("--data", "{cls}", *CLASSIFY, "--dtype", "int8"), "--dtype int8: expected auto"),
    (("--data", "{cls}", *CLASSIFY, "--project", "x"), "leave out MODEL_OR_ADAPTER"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES)
def test_mistakes_are_told_before_a_model_is_loaded(
    tiny_base_folder, data, no_model, arguments, message
):
    places = {
        "data": data,
        "cls": data / "classification" / "de" / "test.jsonl",
        "gen": data / "generation" / "de" / "test.jsonl",
    }
    found = refused(tiny_base_folder, *(part.format(**places) for part in arguments))
    assert message in found
    assert "\n" not in found


def test_an_adapter_that_does_not_fit_is_told_before_a_model_is_loaded(
    tiny_base_folder, data, tmp_path, no_model
):
    factors = {"model.layers.9.mlp.down_proj": LoraFactors(torch.ones(1, 128), torch.ones(64, 1))}
    Adapter.from_factors(factors, base_model=str(tiny_base_folder)).save(tmp_path / "wrong")
    file = data / "classification" / "de" / "test.jsonl"
    assert "layers.9" in refused(tmp_path / "wrong", *CLASSIFY, "--data", file)


def test_help_and_mistakes_import_no_torch(data):
    code = (
        "import sys; from langmerge.cli import main\n"
        f"sys.argv = ['langmerge', 'evaluate', 'x', '--task', 'classification', '--data', "
        f"{str(data / 'no.jsonl')!r}, '--labels', 'a,b']\n"
        "try:\n    main()\n"
        "except SystemExit as error:\n    assert error.code == 2\n"
        "assert 'torch' not in sys.modules"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr
    assert "no such file" in found.stderr


class TestFind:
    """What MODEL_OR_ADAPTER may be."""

    @staticmethod
    def find(*arguments):
        from langmerge.standalone.subject import find

        return find(*map(str, arguments))

    def test_a_checkpoint(self, tiny_base_folder):
        found = self.find(tiny_base_folder)
        assert (found.name, found.adapter) == (tiny_base_folder.name, None)
        assert found.base.location == tiny_base_folder

    def test_a_pinned_model_of_the_hub(self):
        found = self.find("org/some-model@" + "a1" * 20)
        assert (found.base.kind, found.base.location) == ("hub", "org/some-model")
        assert found.base.revision == "a1" * 20

    @pytest.mark.parametrize("name", ["org/some-model", "org/some-model@main"])
    def test_an_unpinned_one_is_refused(self, name):
        with pytest.raises(BaseModelError, match="40 hex digits"):
            self.find(name)

    def test_a_hub_base_of_an_adapter_needs_a_commit(self, tmp_path, tiny_base_folder):
        folder = an_adapter(tmp_path / "adapter", "org/model")
        with pytest.raises(BaseModelError, match="no commit pins it; name its base by --base"):
            self.find(folder)
        assert self.find(folder, tiny_base_folder).base.location == tiny_base_folder
        pinned = an_adapter(tmp_path / "pinned", "org/model", revision="b2" * 20)
        assert self.find(pinned).base.revision == "b2" * 20

    def test_a_cached_hub_base_needs_none(self, tmp_path, monkeypatch):
        import huggingface_hub

        commit = "c3" * 20
        file = tmp_path / "models--org--model" / "snapshots" / commit / "config.json"
        monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda name, _: str(file))
        found = self.find(an_adapter(tmp_path / "adapter", "org/model"))
        assert (found.base.location, found.base.revision) == ("org/model", commit)

    def test_what_is_not_there(self, tmp_path):
        with pytest.raises(BaseModelError, match="nothing at"):
            self.find(tmp_path / "no" / "such" / "place")
        gone = an_adapter(tmp_path / "adapter", "/no/such/folder")
        with pytest.raises(BaseModelError, match="is not there; name its base by --base"):
            self.find(gone)


def test_a_project_has_its_own_prompts(tiny_base_folder, tmp_path):
    project = make_project(
        tmp_path,
        tiny_base_folder,
        tasks=["classification"],
    )
    assert isinstance(
        runner.invoke(
            app,
            ["evaluate", "--project", str(project), "--data", "x", "--prompt", "{text}"],
        ).exception,
        UserError,
    )
    result = runner.invoke(
        app,
        ["evaluate", "--project", str(project), "--model", "merged:ties", "--data", "x"],
    )
    assert isinstance(result.exception, ProjectError)
    assert "langmerge run" in str(result.exception)
