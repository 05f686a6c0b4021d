"""Whatever a file holds, its parser gives a value or an error for people, never a traceback."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from fuzz.mutations import FUZZED, JUNK, LONG, VALUES, spoiled, spoiled_bytes, spoilers, told
from hypothesis import example, given
from hypothesis import strategies as st
from projects import make_project

from langmerge.data import FileSource, RowSpec, read_split
from langmerge.errors import LangmergeError
from langmerge.harness.results import read_harness_results
from langmerge.plan.lock import Lock
from langmerge.project import load_project
from langmerge.results import load_results
from langmerge.seals import Seals
from langmerge.store import Action, Store
from langmerge.upkeep.bill import read_ledger
from langmerge.upkeep.releases import Releases

pytestmark = pytest.mark.timeout(3600 if LONG else 300)

PROJECT: dict[str, Any] = {
    "base": {"model": "org/model", "revision": "0" * 40},
    "languages": {"de": {"train": {"max_steps": 3}, "data": {"topic": "{split}.csv"}}, "en": None},
    "tasks": {
        "topic": {
            "type": "classification",
            "labels": ["a", "b"],
            "prompt": {"default": "{text}:", "de": "{text}?"},
            "shots": {"de": [{"text": "x", "target": "a"}]},
            "data": {"train": "t.csv", "test": "e.csv", "dev": "d.csv", "columns": {"text": "x"}},
        },
        "quiz": {"type": "multiple_choice", "data": "{language}/{split}.jsonl", "letters": True},
        "sum": {"type": "generation", "data": {"hub": {"path": "x/y", "revision": "0" * 40}}},
    },
    "adapter": {"r": 4, "rank_pattern": {"q_proj": 2}, "target_modules": "all-linear"},
    "train": {"learning_rate": 0.1, "dtype": "auto"},
    "update": {"mode": "continue", "train": {"max_steps": 2}},
    "merge": {
        "ties": {"method": "ties", "density": 0.5, "weights": {"de": 2}},
        "mean": {"method": "linear"},
    },
    "compare": ["base", "individual"],
    "evaluate": {"resamples": 100},
    "release": {"recipe": "ties"},
    "seeds": [0, 1],
}

HARNESS = {
    "results": {"arc": {"acc,none": 0.5, "acc_stderr,none": 0.1, "alias": "arc"}},
    "n-samples": {"arc": {"effective": 10}},
    "higher_is_better": {"arc": {"acc": True}},
    "configs": {"arc": {"task": "arc"}},
    "versions": {"arc": 1},
    "n-shot": {"arc": 0},
    "config": {"model_args": {"pretrained": "x"}},
}

RELEASE = {
    "schema_version": 1, "langmerge": "0.1.0", "recipe": {}, "seed": 0, "base": {},
    "models": {"t": "0" * 64}, "adapters": {"t": {"de": "0" * 64}}, "predictions": {}, "scores": {},
    "objects": ["0" * 64], "number": 1, "created": "now", "message": "", "forced": False,
    "gate": {"against": None, "confidence": 0.95, "max_drop": 1.0, "on_undecided": "warn",
             "passed": True, "compared": []},
    "previous": None,
}  # fmt: skip


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def as_yaml(value: Any) -> bytes:
    return yaml.safe_dump(value).encode(errors="surrogatepass")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


YAML_TRAPS = [
    b"a: 2020-99-99", b"a: 0b_", b"a: !!int x", b"a: !!float x", b"a: !!timestamp x",
    b"a: !!binary x",
    b"a: &x [*x]", b"? [a]\n: b", b"!!python/object/apply:os.system ['true']", b"a: !!set {b, c}",
    b"<<: {a: b}", b"<<: x", b"a: " + b"1" * 5000, b"[" * 600, b"%YAML 9.9\n--- a",
    b"--- a\n--- b", b"languages: [[]]", b"languages: [{a: b}, {a: b}]",
    b"a: *nothing", b"\xef\xbb\xbfa: b", b"a: \x00", b"? {a: b}\n: c", b"1: 2", b"base: .inf",
    b"a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]",
]  # fmt: skip
BOMB = b"a0: &a0 [x, x]\n" + b"".join(
    b"a%d: &a%d [*a%d, *a%d, *a%d, *a%d]\n" % (n, n, *[n - 1] * 4) for n in range(1, 30)
)


@FUZZED
@given(
    content=spoiled(PROJECT).map(as_yaml) | spoiled_bytes(as_yaml(PROJECT)) | VALUES.map(as_yaml)
)
def test_project_files(folder: Path, content: bytes) -> None:
    path = folder / "langmerge.yaml"
    path.write_bytes(content)
    told(lambda: load_project(path), lines=True)


@pytest.mark.parametrize("content", [*YAML_TRAPS, BOMB], ids=range(len(YAML_TRAPS) + 1))
def test_what_yaml_itself_trips_over(tmp_path: Path, content: bytes) -> None:
    from langmerge.merging.recipe_file import read_recipe

    path = tmp_path / "file.yaml"
    path.write_bytes(content)
    for read in (load_project, read_recipe):
        with pytest.raises(LangmergeError):
            read(path)
        told(lambda read=read: read(path), lines=True)


def test_a_valid_project_is_what_is_spoiled(tmp_path: Path) -> None:
    path = tmp_path / "langmerge.yaml"
    path.write_bytes(as_yaml(PROJECT))
    assert load_project(path).seeds == (0, 1)


STUDY = {
    "project": "langmerge.yaml", "models": {"a": "x", "b": {"model": "y", "revision": "0" * 40}},
    "languages": {"two": ["de", "en"]}, "tasks": ["topic"], "seeds": [0, 1],
    "variants": {"long": {"train": {"max_steps": 9}}}, "sweep": {"trials": 3},
}  # fmt: skip


@FUZZED
@given(content=spoiled(STUDY).map(as_yaml) | spoiled_bytes(as_yaml(STUDY)))
def test_study_files(folder: Path, content: bytes) -> None:
    from langmerge.study.config import load_study

    path = folder / "study.yaml"
    path.write_bytes(content)
    told(lambda: load_study(path), lines=True)


OWN_RECIPE = {
    "adapters": ["de", {"path": "fr", "weight": 2}], "method": "ties", "density": 0.5, "rank": 4,
    "output": "merged", "seed": 1, "space": "svd", "into_model": False, "base": "base",
}  # fmt: skip
MERGEKIT = {
    "merge_method": "ties", "base_model": "base", "parameters": {"normalize": True, "density": 0.5},
    "models": [{"model": "base+de", "parameters": {"weight": 1}}, "base+fr", "base"],
    "dtype": "float32",
}  # fmt: skip


@FUZZED
@given(
    content=st.sampled_from([OWN_RECIPE, MERGEKIT]).flatmap(spoiled).map(as_yaml)
    | spoiled_bytes(as_yaml(OWN_RECIPE))
)
def test_recipe_files(folder: Path, content: bytes) -> None:
    from langmerge.merging.recipe_file import read_recipe

    path = folder / "recipe.yaml"
    path.write_bytes(content)
    told(lambda: read_recipe(path).checked())


@FUZZED
@given(content=spoiled(HARNESS).map(as_json) | spoiled_bytes(as_json(HARNESS)))
@example(content=as_json({**HARNESS, "configs": {"arc": {"x": float("inf"), "\ud800": 1}}}))
@example(content=as_json({**HARNESS, "configs": {"arc": {"x": float("inf")}}}))
def test_results_of_the_harness(folder: Path, content: bytes) -> None:
    path = folder / "results_1.json"
    path.write_bytes(content)
    told(lambda: read_harness_results(path).table())


@pytest.fixture(scope="module")
def project(folder: Path) -> Path:
    return make_project(folder / "project", folder / "base")


RESULTS = {
    "schema_version": 1, "base": "b", "primary_metrics": {"t": "macro_f1"}, "languages": ["de"],
    "confidence": 0.95, "averages": [], "comparisons": [], "jobs": [],
    "scores": [{
        "task": "t", "model": "base", "language": "de", "seed": None, "split": "test", "n": 4,
        "model_digest": None,
        "metrics": {"macro_f1": {"value": 1.0, "low": 0.5, "high": 2.0, "signature": "s"}},
    }],
}  # fmt: skip


@FUZZED
@given(content=spoiled(RESULTS).map(as_json) | spoiled_bytes(as_json(RESULTS)))
def test_results_files(project: Path, content: bytes) -> None:
    (project.parent / "results.json").write_bytes(content)
    told(lambda: load_results(project))


LOCK = {"version": 1, "jobs": {"train/t/de/seed0": {"key": "0" * 64, "output": "1" * 64}}}


@FUZZED
@given(content=spoiled(LOCK).map(as_json) | spoiled_bytes(as_json(LOCK)))
@example(content=b"[" * 3000)
@example(content=as_json({**LOCK, "version": "\r"}))
def test_lock_files(folder: Path, content: bytes) -> None:
    (folder / "langmerge.lock").write_bytes(content)
    told(lambda: Lock.load(folder).key_of("train/t/de/seed0"))


def _value(content: bytes) -> object:
    """What JSON says, whose white space is no damage; the bytes themselves if it is none."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return content


STORED = ("actions", "manifest.json", "ledger.jsonl", "verified.jsonl")


@pytest.mark.parametrize("name", STORED)
@FUZZED
@given(spoil=spoilers)
def test_files_of_the_store(folder: Path, name: str, spoil: Callable[[bytes], bytes]) -> None:
    """What is damaged here is not an error but a result that is not there."""
    store = Store(folder / name)
    key = "0" * 64
    digest = store.put(lambda place: place.joinpath("x").write_text("content") and None)
    action = store.record(Action(key, {"a": 1}, digest, {"b": 2}))
    assert store.action(key) == action
    (store.root / "ledger.jsonl").write_text('{"job": "x", "seconds": 1}\n')
    path = {
        "actions": store.actions()[0],
        "manifest.json": store.object(digest) / "manifest.json",
    }.get(name, store.root / name)
    before = path.read_bytes()
    path.write_bytes(spoil(before))
    is_spoiled = _value(path.read_bytes()) != _value(before)

    again = Store(store.root)
    for read in (
        lambda: again.action(key),
        lambda: again.damage(digest),
        lambda: read_ledger(store.root),
        lambda: Seals(store.root / "verified.jsonl").holds(digest, again.root),
    ):
        told(read)

    if is_spoiled and name in ("actions", "manifest.json"):
        assert again.action(key) is None
    shutil.rmtree(store.root)


@FUZZED
@given(content=spoiled(RELEASE).map(as_json) | spoiled_bytes(as_json(RELEASE)), pointer=JUNK)
def test_releases(folder: Path, content: bytes, pointer: bytes) -> None:
    from langmerge.canonical import digest_of

    store = Store(folder / "releases")
    releases = store.root / "releases"
    releases.mkdir(parents=True, exist_ok=True)
    try:
        name = f"1-{digest_of(json.loads(content))[:8]}"  # one that its own name vouches for
    except (ValueError, RecursionError):
        name = "1-00000000"
    (releases / f"{name}.json").write_bytes(content)
    (releases / "current").write_bytes(pointer)
    told(lambda: Releases(store).all())
    told(lambda: Releases(store).current())
    (releases / f"{name}.json").unlink()


@pytest.mark.parametrize("format", ["jsonl", "json", "csv", "tsv", "parquet"])
@FUZZED
@given(data=st.data())
def test_data_files(folder: Path, format: Any, data: st.DataObject) -> None:
    rows = [{"id": "1", "text": "ab", "label": "x"}, {"id": "2", "text": "é", "label": "y"}]
    valid = {
        "jsonl": b"\n".join(map(as_json, rows)),
        "json": as_json(rows),
        "csv": b"id,text,label\n1,ab,x\n2,\xc3\xa9,y\n",
        "tsv": b"id\ttext\tlabel\n1\tab\tx\n2\t\xc3\xa9\ty\n",
        "parquet": _parquet(rows) if format == "parquet" else b"",
    }[format]
    content = data.draw(spoiled_bytes(valid))
    path = folder / "rows"
    spec = RowSpec(("text_label",), labels=("x", "y"))
    path.write_bytes(content)
    told(lambda: read_split(FileSource(path, format), spec))
    if format != "parquet":
        packed = folder / "rows.gz"
        packed.write_bytes(data.draw(spoiled_bytes(gzip.compress(content))))
        told(lambda: read_split(FileSource(packed, format), spec))


def _parquet(rows: list[dict[str, str]]) -> bytes:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    sink = pyarrow.BufferOutputStream()
    parquet.write_table(pyarrow.Table.from_pylist(rows), sink)
    content: bytes = sink.getvalue().to_pybytes()
    return content
