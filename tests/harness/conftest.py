import json

import pytest
import yaml

QUESTIONS = [
    {"question": f"What follows {number}?", "choices": ["one", "two", "a dozen"], "answer": at}
    for at, number in [(0, "zero"), (1, "one"), (2, "eleven"), (1, "1"), (0, "naught")]
]


@pytest.fixture
def task_folder(tmp_path, monkeypatch):
    """A task of the harness, `toy_choice`, over questions in a local file."""
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "datasets"))
    folder = tmp_path / "tasks"
    folder.mkdir()
    lines = "".join(f"{json.dumps(row)}\n" for row in QUESTIONS)
    (folder / "questions.jsonl").write_text(lines, encoding="utf-8")
    task = {
        "task": "toy_choice",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(folder / "questions.jsonl")}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "Question: {{question}}\nAnswer:",
        "doc_to_choice": "choices",
        "doc_to_target": "answer",
        "metric_list": [{"metric": "acc"}, {"metric": "acc_bytes"}],
        "metadata": {"version": 3.0},
    }
    (folder / "toy_choice.yaml").write_text(yaml.safe_dump(task), encoding="utf-8")
    return folder
