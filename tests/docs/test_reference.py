"""The reference pages say what the code says, all of it."""

from __future__ import annotations

import re
from typing import Any

import docs_reference
import docs_site
import typer

import langmerge
from langmerge.cli import app
from langmerge.project import Project


def test_the_command_line_page_has_every_verb_and_option() -> None:
    page = docs_reference.cli_page()
    group: Any = typer.main.get_command(app)
    for name, command in group.commands.items():
        section = page.partition(f"## langmerge {name}\n")[2].partition("\n## ")[0]
        assert section, f"{name} is missing"
        for parameter in command.params:
            if parameter.param_type_name == "option" and parameter.name != "help":
                assert f"`{', '.join([*parameter.opts, *parameter.secondary_opts])}`" in section
                assert parameter.help, f"langmerge {name}: {parameter.name} has no help"


def test_every_key_of_the_project_file_has_a_meaning() -> None:
    for model in docs_reference.models_of(Project):
        said = docs_reference.meanings(model)
        for name in model.model_fields:
            assert said.get(name), f"{model.__name__}.{name}: say what it means, in a line below it"


def test_the_project_page_has_types_bounds_and_defaults() -> None:
    page = docs_reference.project_page()

    assert "| `learning_rate` | number &gt; 0 | `0.0002` |" in page
    assert "| `on_undecided` | `warn` or `refuse` | `warn` |" in page
    assert "| `matrix` | true or false | `false` |" in page
    assert '| `completion` | text | `" {target}"` |' in page
    assert "## train.ancestor {" in page
    assert "| `base` | text or [HubBase](#HubBase) | required |" in page


def test_the_formats_page_has_every_part() -> None:
    page = docs_reference.formats_page()
    for part in ("results.json", "Merge recipe", "langmerge.lock", "Action", "Release manifest"):
        assert f"## {part}" in page
    assert "| `p_holm` |" in page
    assert "| `seal` |" in page


def test_the_python_page_has_every_name_at_the_top() -> None:
    page = docs_reference.python_page()
    for name in langmerge.__all__:
        if name != "__version__":
            assert re.search(rf"^::: langmerge\.[\w.]+\.{name}$", page, re.MULTILINE), name


def test_links_out_of_the_docs_are_mended() -> None:
    mended = docs_site.in_site(
        "[a](../benchmarks/results/evaluation.md#x) [b](../LICENSE) [c](data.md)\n"
        "```\n[d](../LICENSE)\n```\n`[e](../LICENSE)` [![i](images/a.png)](../CHANGELOG.md)",
        "evaluation.md",
    )
    assert mended == (
        "[a](benchmarks/evaluation.md#x) b (`LICENSE`) [c](data.md)\n"
        "```\n[d](../LICENSE)\n```\n`[e](../LICENSE)` [![i](images/a.png)](changelog.md)"
    )
    # A page from elsewhere: its links start from its own place in the repository.
    assert docs_site.in_site("[a](docs/data.md)", "contributing.md") == "[a](data.md)"
