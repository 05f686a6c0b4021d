"""Every kind of error leads to a page that exists, and the message itself stays one line."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from langmerge import errors, guide
from langmerge.cli import main
from langmerge.errors import LangmergeError, MissingExtraError, ProjectError

DOCS = Path(__file__).parents[1] / "docs"


def kinds(cls: type[LangmergeError]) -> list[type[LangmergeError]]:
    return [cls, *(kind for inner in cls.__subclasses__() for kind in kinds(inner))]


def test_every_error_of_the_tree_has_a_page() -> None:
    general = (errors.LangmergeError, errors.UserError)
    for kind in kinds(LangmergeError):
        if kind.__module__ == errors.__name__ and kind not in general:
            error = kind.__new__(kind)
            assert guide.page_for(error) is not None, f"name a page for {kind.__name__}"
    for page in guide.PAGES.values():
        assert (DOCS / f"{page}.md").is_file()


def test_a_published_site_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    error = MissingExtraError("pyarrow", "data", "Reading")
    assert guide.page_for(error) == str(DOCS / "extras.md")
    monkeypatch.setenv("LANGMERGE_DOCS", "https://docs.example.org/langmerge/")
    assert guide.page_for(error) == "https://docs.example.org/langmerge/extras.html"
    assert guide.page_for(LangmergeError("?")) is None


def test_without_docs_there_is_no_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LANGMERGE_DOCS", raising=False)
    monkeypatch.setattr(guide, "_PLACES", (tmp_path,))
    assert guide.page_for(ProjectError("?")) is None


def test_the_message_is_one_line_and_the_link_another(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.argv", ["langmerge", "plan", "--project", str(tmp_path / "no.yaml")])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    said = capfd.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in said] == ["error", "see"]
    assert said[1] == f"see: {DOCS / 'guides' / 'project-file.md'}"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_completes_verbs_and_options(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from langmerge.cli import app

    monkeypatch.setenv("_LANGMERGE_COMPLETE", f"complete_{shell}")
    for words, expected in (
        ("langmerge pl", "plan"),
        ("langmerge plan --tar", "--target-language"),
    ):
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
        monkeypatch.setenv("_TYPER_COMPLETE_ARGS", words)
        monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
        done = CliRunner().invoke(app, [], prog_name="langmerge")
        assert expected in done.output
