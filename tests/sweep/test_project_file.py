"""A recipe written into a project file: that recipe changes, and not a word beside it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from langmerge.errors import ProjectError
from langmerge.sweep import project_file
from langmerge.sweep.project_file import with_recipe, write_recipe

HEAD = """# our project
base: ../base
languages: [de, en]   # two
tasks:
  topic: {type: classification, labels: [a, b], data: "{language}/{split}.jsonl"}
"""
SETTINGS = {"method": "ties", "density": 0.3, "weights": {"de": 1.5, "en": 1.0}}
LINE = "sweep: {method: ties, density: 0.3, weights: {de: 1.5, en: 1.0}}"
CHOSEN = "Chosen by `langmerge sweep` on 2026-06-01: macro_f1 on dev 42.0."
OURS = (
    "  # Chosen by `langmerge sweep` on 2026-05-01: macro_f1 on dev 40.0; +1.0 against ties.\n"
    "  # Best of 12 candidates; evidence: .langmerge/sweeps/0.json\n"
)

# what stands there -> what is to stand there
FORMS = {
    "": f"merge:\n  # {CHOSEN}\n  {LINE}\n",
    "merge: ties  # mine\nseeds: [0, 1]\n": (
        f"merge:  # mine\n  # {CHOSEN}\n  {LINE}\n  ties: {{method: ties}}\nseeds: [0, 1]\n"
    ),
    "merge: [ties, linear]\n": (
        f"merge:\n  # {CHOSEN}\n  {LINE}\n  ties: {{method: ties}}\n  linear: {{method: linear}}\n"
    ),
    "merge:\n- ties  # one\n- linear\n# the end\nseeds: [0, 1]\n": (
        f"merge:\n  # {CHOSEN}\n  {LINE}\n  ties: {{method: ties}}  # one\n"
        "  linear: {method: linear}\n# the end\nseeds: [0, 1]\n"
    ),
    "merge:\n  # half\n  method: ties  # best so far\n  density: 0.5\n\nseeds: [0]\n": (
        f"merge:\n  # {CHOSEN}\n  {LINE}\n  ties:\n    # half\n    method: ties  # best so far\n"
        "    density: 0.5\n\nseeds: [0]\n"
    ),
    "merge: {method: ties,\n  density: 0.5}\n": (
        f"merge:\n  # {CHOSEN}\n  {LINE}\n  ties: {{method: ties, density: 0.5}}\n"
    ),
    "merge:\n    # one\n    plain: {method: ties}\nseeds: [0]\n": (
        f"merge:\n    # {CHOSEN}\n    {LINE}\n    # one\n    plain: {{method: ties}}\nseeds: [0]\n"
    ),
    "merge:\n  # one\n  plain: {method: ties}\n  # by hand\n"
    f"{OURS}  sweep:\n"
    "    method: linear\n    # stronger\n    lambda: 2\n  # two\n  last: {method: ta}\n": (
        f"merge:\n  # {CHOSEN}\n  {LINE}\n  # one\n  plain: {{method: ties}}\n"
        "  # by hand\n  # two\n  last: {method: ta}\n"
    ),
}


@pytest.mark.parametrize("before", FORMS)
def test_every_form_of_merge(before):
    assert with_recipe(HEAD + before, "sweep", SETTINGS, [CHOSEN]) == HEAD + FORMS[before]


@pytest.mark.parametrize(
    "before",
    [
        "merge: {ties: {method: ties},  # the usual\n  linear: {method: linear}}\n",
        "merge: {method: ties,  # half\n  density: 0.5}\n",
        "merge: [ties,  # one\n  linear]\n",
        "merge:\n  # of the name\n  {method: ties}\n",
    ],
)
def test_a_comment_that_would_be_lost_is_refused(before, tmp_path: Path):
    path = tmp_path / "langmerge.yaml"
    path.write_text(HEAD + before)
    with pytest.raises(ProjectError, match=r"add the recipe by hand: sweep: \{method: ties"):
        write_recipe(path, "sweep", SETTINGS, [CHOSEN])
    assert path.read_text() == HEAD + before


def test_a_hash_in_a_value_is_no_comment(tmp_path: Path):
    path = tmp_path / "langmerge.yaml"
    path.write_text(HEAD.replace("[a, b]", "['# a', b#c]") + "merge: {ties: {method: ties}}\n")
    write_recipe(path, "sweep", SETTINGS, [CHOSEN])
    assert LINE in path.read_text()


def test_a_new_text_that_is_no_yaml_is_refused(tmp_path: Path, monkeypatch):
    path = tmp_path / "langmerge.yaml"
    path.write_text(HEAD)
    monkeypatch.setattr(project_file, "with_recipe", lambda *_: "merge: [")
    with pytest.raises(ProjectError, match="add the recipe by hand"):
        write_recipe(path, "sweep", SETTINGS)
    assert path.read_text() == HEAD


def test_a_sweeps_own_comments_are_replaced(tmp_path: Path):
    path = tmp_path / "langmerge.yaml"
    path.write_text(HEAD + f"merge:\n{OURS}  sweep: {{method: linear}}\n  # mine\n")
    write_recipe(path, "sweep", SETTINGS, [CHOSEN])
    assert path.read_text() == HEAD + f"merge:\n  # {CHOSEN}\n  {LINE}\n  # mine\n"


@pytest.mark.parametrize("before", FORMS)
def test_writing_twice_is_writing_once(before, tmp_path: Path):
    path = tmp_path / "langmerge.yaml"
    path.write_text(HEAD + before)
    diff = write_recipe(path, "sweep", SETTINGS, [CHOSEN])
    assert f"+  {LINE}" in diff or f"+    {LINE}" in diff
    once = path.read_text()
    assert next(iter(yaml.safe_load(once)["merge"])) == "sweep"
    assert write_recipe(path, "sweep", SETTINGS, [CHOSEN]) == ""
    assert path.read_text() == once


def test_a_dry_run_writes_nothing(tmp_path):
    path = tmp_path / "langmerge.yaml"
    path.write_text(HEAD)
    assert LINE in write_recipe(path, "sweep", SETTINGS, dry_run=True)
    assert path.read_text() == HEAD


def test_line_ends_of_windows_stay(tmp_path):
    path = tmp_path / "langmerge.yaml"
    path.write_bytes((HEAD + "merge: ties\n").replace("\n", "\r\n").encode())
    write_recipe(path, "sweep", SETTINGS, [CHOSEN])
    content = path.read_bytes()
    assert content.count(b"\r\n") == content.count(b"\n")


def test_what_cannot_be_edited_is_left_alone(tmp_path):
    path = tmp_path / "langmerge.yaml"
    text = "shared: &r {method: ties}\nmerge: {a: *r, <<: {b: {method: linear}}}\n"
    path.write_text(HEAD + text)
    with pytest.raises((ProjectError, ValueError)):
        write_recipe(path, "sweep", SETTINGS)
    assert path.read_text() == HEAD + text
