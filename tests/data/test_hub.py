"""`datasets` on local files: the same loading code as for the hub, without a network."""

import json

import pytest

from langmerge.data import FileSource, HubSource, RowSpec, read_split, records

from .conftest import problem

datasets = pytest.importorskip("datasets")

SPEC = RowSpec(("text_label",), labels=("bad", "good"))
RECORDS = [{"text": f"text {i}", "label": ("good", "bad")[i % 2], "id": i} for i in range(4)]


@pytest.fixture(autouse=True)
def offline_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


@pytest.fixture
def jsonl(tmp_path):
    path = tmp_path / "set" / "test.jsonl"
    path.parent.mkdir()
    path.write_text("".join(json.dumps(record) + "\n" for record in RECORDS))
    return path


def test_loader_and_folder_give_the_rows_of_the_file(jsonl):
    expected = read_split(FileSource(jsonl), SPEC)
    by_loader = HubSource("json", split="test", data_files=(str(jsonl),))
    by_folder = HubSource(str(jsonl.parent), split="test")
    assert read_split(by_loader, SPEC).digest == expected.digest
    assert read_split(by_folder, SPEC).digest == expected.digest


def test_a_slice_of_a_split(jsonl):
    source = HubSource("json", split="test[1:3]", data_files=(str(jsonl),))
    found = list(records(source))
    assert [record["id"] for _, record in found] == [1, 2]
    assert found[0][0] == "json/test[1:3]: row 1"


def test_class_labels_are_read_by_name(tmp_path):
    features = datasets.Features(
        text=datasets.Value("string"), label=datasets.ClassLabel(names=["good", "bad"])
    )
    labelled = datasets.Dataset.from_dict(
        {"text": ["fine", "poor", "hidden"], "label": [0, 1, -1]}, features=features
    )
    folder = tmp_path / "labelled"
    folder.mkdir()
    labelled.to_parquet(folder / "train.parquet")
    found = [record["label"] for _, record in records(HubSource(str(folder)))]
    assert found == ["good", "bad", -1]  # not the project's order, in which 0 is "bad"
    message = problem(lambda: read_split(HubSource(str(folder)), SPEC))
    assert "labelled/train: row 3: field 'label': found '-1'" in message


@pytest.mark.parametrize(
    ("source", "part"),
    [
        (HubSource("nobody/nothing"), "nobody/nothing/train"),
        (HubSource("json", data_files=("missing.jsonl",)), "missing.jsonl"),
        (HubSource("{folder}", split="tset"), "tset"),
        (HubSource("{folder}", name="german", split="test"), "german"),
    ],
)
def test_what_cannot_be_loaded_is_one_line(jsonl, source, part):
    path = source.path.replace("{folder}", str(jsonl.parent))
    source = HubSource(path, source.name, source.split, data_files=source.data_files)
    message = problem(lambda: records(source))
    assert "cannot be loaded" in message
    assert part in message
    assert "check path, name, split" in message
