"""A recipe written into `langmerge.yaml`, and nothing else of it touched.

The file is text with comments, so it is edited as text, at the places that YAML's parser names:
only lines of `merge:` change. What was written is read again, and must differ from what was read
before in that recipe alone; every comment outside the recipe's own entry must still be there.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from langmerge.errors import ProjectError
from langmerge.files import write_atomically
from langmerge.project import Project

_INDENT = "  "
_OURS = re.compile(r"\s*# (Chosen by `langmerge sweep` on |Best of \d+ candidates)")
"""The comments that stand above a recipe that a sweep wrote (`langmerge.sweep.evidence`)."""


def with_recipe(
    text: str, name: str, settings: Mapping[str, Any], comments: Sequence[str] = ()
) -> str:
    """Return a project file's text with a recipe as the first of `merge:`.

    A recipe of this name is replaced, with the comments of a sweep above it; others stay as they
    are. Where `merge:` is in a short form,
    it is written as a mapping, with the same recipes.

    Args:
        text: a valid project file.
        name: of the recipe.
        settings: of the recipe: method, parameters, weights.
        comments: lines that go before it.
    """
    ending = "\r\n" if "\r\n" in text else "\n"
    lines = text.split("\n")
    lines = [f"{line}\n" for line in lines[:-1]] + [lines[-1] + ending] * bool(lines[-1])
    entry = [line + ending for line in _entry(name, settings, comments)]
    found = _section(yaml.compose(text, Loader=yaml.SafeLoader))
    if found is None:
        return "".join([*lines, f"merge:{ending}", *_indented(entry)])
    key, value = found
    start, end = key.start_mark.line, _end(value)
    if not isinstance(value, yaml.CollectionNode) or value.flow_style:
        # One value, mostly on one line; what stands behind it is a comment.
        behind = lines[end - 1][value.end_mark.column :].strip()
        section = [f"merge:{'  ' + behind if behind else ''}{ending}", *_indented(entry)]
        for known, of_known in recipes_of(yaml.safe_load(text)["merge"]).items():
            if known != name:
                section += _indented([line + ending for line in _entry(known, of_known)])
        return "".join([*lines[:start], *section, *lines[end:]])
    if isinstance(value, yaml.SequenceNode):
        for item in value.value:
            line = lines[item.start_mark.line]
            space, behind = line[: line.index("-")], line[item.end_mark.column :]
            own = _entry(item.value, {"method": item.value})[0]
            lines[item.start_mark.line] = f"{space or _INDENT}{own}{behind}"
        return with_recipe("".join(lines), name, settings, comments)
    if not _holds_recipes(value):
        method = next(v.value for k, v in value.value if k.value == "method")
        own_lines = _indented(lines[start + 1 : end])
        lines[start + 1 : end] = [f"{_INDENT}{method}:{ending}", *own_lines]
        return with_recipe("".join(lines), name, settings, comments)
    for known, of_known in value.value:
        if known.value == name:
            first = _with_our_comments(lines, known.start_mark.line, start)
            del lines[first : _end(of_known)]
    space = " " * value.start_mark.column
    return "".join([*lines[: start + 1], *(space + line for line in entry), *lines[start + 1 :]])


def write_recipe(
    path: Path,
    name: str,
    settings: Mapping[str, Any],
    comments: Sequence[str] = (),
    *,
    dry_run: bool = False,
) -> str:
    """Write a recipe into a project file; return what changed, as a unified diff.

    Args:
        path: the project file.
        name: of the recipe.
        settings: of the recipe.
        comments: lines that go before it, without `#`.
        dry_run: change nothing.

    Raises:
        ProjectError: if the file is not one that can be edited so.
    """
    old = path.read_bytes().decode("utf-8")
    try:
        new = with_recipe(old, name, settings, comments)
        fits = _differs_only_in(old, new, name, settings)
    except yaml.YAMLError:
        fits = False
    if not fits:
        raise ProjectError(
            f"{path}: merge: is written in a way that cannot be edited without touching more; "
            f"add the recipe by hand: {name}: {_flow(settings)}"
        )
    diff = difflib.unified_diff(
        old.splitlines(keepends=True), new.splitlines(keepends=True), path.name, path.name, n=2
    )
    Project.model_validate(yaml.safe_load(new))
    if not dry_run and new != old:
        write_atomically(path, new)
    return "".join(diff)


def _differs_only_in(old: str, new: str, name: str, settings: Mapping[str, Any]) -> bool:
    """Whether a new text says what the old one says but for a recipe, with all its comments."""
    before = yaml.safe_load(old)
    recipes = {name: dict(settings), **recipes_of(before.get("merge"))} | {name: dict(settings)}
    after = yaml.safe_load(new)
    same = after == {**before, "merge": recipes} and next(iter(after["merge"])) == name
    return same and not _comments(old, name) - _comments(new, name)


def _section(root: Any) -> tuple[Any, Any] | None:
    return next(((k, v) for k, v in root.value if k.value == "merge"), None)


def _holds_recipes(value: Any) -> bool:
    """Whether a node is a mapping of names to recipes, not a recipe, a name or a list."""
    return (
        isinstance(value, yaml.MappingNode)
        and bool(value.value)
        and all(key.value != "method" for key, _ in value.value)
    )


def _end(node: Any) -> int:
    """Return the line after a node's last one; block nodes end where the next begins."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    line: int = node.end_mark.line
    return line + 1 if node.end_mark.column else line


def _with_our_comments(lines: Sequence[str], line: int, least: int) -> int:
    """Return the first of the comment lines directly above a line that a sweep wrote."""
    while line - 1 > least and _OURS.match(lines[line - 1]):
        line -= 1
    return line


def _comments(text: str, name: str) -> Counter[str]:
    """Return a file's comments but those in a recipe's entry, and a sweep's above it."""
    lines = text.split("\n")
    found = _section(yaml.compose(text, Loader=yaml.SafeLoader))
    own: set[int] = set()
    if found is not None and _holds_recipes(found[1]) and not found[1].flow_style:
        for known, value in found[1].value:
            if known.value == name:
                line = known.start_mark.line
                first = _with_our_comments(lines, line, found[0].start_mark.line)
                own = set(range(first, _end(value)))
    # What stands between two tokens is space, or a comment.
    tokens = list(yaml.scan(text, Loader=yaml.SafeLoader))
    comments: Counter[str] = Counter()
    for before, after in itertools.pairwise(tokens):
        start, end = before.end_mark, after.start_mark
        for number, between in enumerate(text[start.index : end.index].split("\n"), start.line):
            _, mark, comment = between.partition("#")
            if mark and number not in own:
                comments[comment.strip()] += 1
    return comments


def recipes_of(value: Any) -> dict[str, Any]:
    """Return what a `merge:` in any of its forms says, as a mapping of names to recipes."""
    if value is None:
        return {}
    if isinstance(value, str):
        return {value: {"method": value}}
    if isinstance(value, list):
        return {name: {"method": name} for name in value}
    if "method" in value:
        return {value["method"]: value}
    return dict(value)


def _entry(name: str, settings: Mapping[str, Any], comments: Sequence[str] = ()) -> list[str]:
    return [*(f"# {comment}" for comment in comments), f"{name}: {_flow(settings)}"]


def _indented(lines: Sequence[str]) -> list[str]:
    return [_INDENT + line for line in lines]


def _flow(settings: Mapping[str, Any]) -> str:
    text = yaml.safe_dump(
        dict(settings), default_flow_style=True, sort_keys=False, width=10_000, allow_unicode=True
    )
    return text.strip()
