"""Kept answers: what a kill cut short, or what changed, counts as never written."""

from __future__ import annotations

from langmerge.choose.journal import Journal


def fill(path):
    journal = Journal(path)
    journal.add("one", "ties", {"t/de": [[0.5, 1.0]]}, seconds=1.0, size=7)
    journal.add("one", "ties", {"t/de": [[0.25, 2.0]]}, seconds=2.0, size=7)
    journal.add("two", "mean", {"t/de": [("text", False)]}, seconds=1.0, size=None)
    return path


def test_answers_come_back(tmp_path):
    journal = Journal(fill(tmp_path / "sweeps/x.jsonl"))
    assert journal.of("one").answers == {"t/de": [[0.5, 1.0], [0.25, 2.0]]}
    assert (journal.of("one").seconds, journal.of("one").size) == (3.0, 7)
    assert journal.of("two").answers == {"t/de": [["text", False]]}
    assert journal.of("three").answers == {}


def test_a_line_cut_short_is_left_out_and_the_next_one_whole(tmp_path):
    path = fill(tmp_path / "x.jsonl")
    path.write_bytes(path.read_bytes()[:-20])
    journal = Journal(path)
    assert journal.of("two").answers == {}
    journal.add("two", "mean", {"t/de": [("again", True)]}, seconds=1.0, size=None)
    assert Journal(path).of("two").answers == {"t/de": [["again", True]]}


def test_a_changed_line_and_what_follows_it_are_left_out(tmp_path):
    path = fill(tmp_path / "x.jsonl")
    path.write_text(path.read_text().replace("[0.5, 1.0]", "[0.6, 1.0]"))
    assert Journal(path).of("one").answers == {}  # the second part has lost its first


def test_without_a_file_nothing_is_written(tmp_path):
    journal = Journal(None)
    journal.add("one", "ties", {"u": [[1.0]]}, seconds=1.0, size=None)
    assert journal.of("one").answers == {"u": [[1.0]]}
