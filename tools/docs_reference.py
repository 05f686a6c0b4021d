"""Reference pages made from the code when the docs site is built, so that they cannot go stale.

`PAGES` maps a page's place in the site to the function that returns its Markdown. The command line
is read from typer, the project file and the file formats from the pydantic models and their
docstrings. `tools/docs_site.py` puts the pages into the site.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

GENERATED = "<!-- Made from the code by tools/docs_reference.py. -->\n\n"


# The command line


def cli_page() -> str:
    """Return every verb with its arguments and options."""
    import typer

    from langmerge.cli import app

    group: Any = typer.main.get_command(app)
    verbs = "\n".join(_verb(name, command) for name, command in group.commands.items())
    exit_codes = _table(
        ("exit code", "meaning"),
        [
            ("0", "done"),
            ("1", "a bug in langmerge"),
            ("2", "a mistake you can mend: one message says where and how"),
            ("3", "a gate refused"),
            ("4", "some jobs failed; the finished ones are kept"),
        ],
    )
    return (
        f"{GENERATED}# Command line\n\n"
        f"{group.help}\n\n"
        "`langmerge VERB --help` prints the same. Results go to standard output, progress, "
        "warnings and errors to standard error.\n\n"
        f"{exit_codes}\n"
        f"Options of `langmerge` itself:\n\n{_parameters(group)}\n"
        f"{verbs}"
    )


def _verb(name: str, command: Any) -> str:
    if nested := getattr(command, "commands", None):
        inner = "\n".join(_verb(f"{name} {verb}", one) for verb, one in nested.items())
        return f"## langmerge {name}\n\n{_help(command.help)}\n\n{inner}"
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    usage = " ".join([f"langmerge {name}", "[OPTIONS]", *map(_argument, arguments)])
    return (
        f"## langmerge {name}\n\n{_help(command.help)}\n\n```\n{usage}\n```\n\n"
        f"{_parameters(command)}"
    )


def _help(text: str | None) -> str:
    # Click keeps the line ends of the docstring; a form feed ends what is shown.
    return inspect.cleandoc((text or "").partition("\f")[0])


def _argument(parameter: Any) -> str:
    name = (parameter.metavar or parameter.name).upper() + ("..." if parameter.nargs == -1 else "")
    return name if parameter.required else f"[{name}]"


def _parameters(command: Any) -> str:
    rows = [
        (f"`{_spelling(p)}`", _value(p), _default(p), _cell(p.help or ""))
        for p in command.params
        if not p.hidden and p.name != "help"
    ]
    return _table(("argument or option", "value", "default", "meaning"), rows) if rows else ""


def _spelling(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return _argument(parameter).strip("[]")
    return ", ".join([*parameter.opts, *parameter.secondary_opts])


def _value(parameter: Any) -> str:
    if parameter.param_type_name == "option" and parameter.is_flag:
        return ""
    kind = parameter.type_descriptor.annotation
    several = getattr(kind, "__args__", None)
    if several and getattr(kind, "__origin__", None) in (list, tuple):
        kind = several[0]
    if isinstance(kind, type) and issubclass(kind, Enum):
        return ", ".join(f"`{member.value}`" for member in kind)
    names = {"str": "text", "int": "integer", "float": "number", "Path": "path"}
    return names.get(getattr(kind, "__name__", ""), "text") + (", repeatable" if several else "")


def _default(parameter: Any) -> str:
    shown = parameter.show_default
    if isinstance(shown, str):
        return f"`{shown}`"
    value = parameter.default
    if parameter.required:
        return "required"
    if value is None or value == () or value is False or callable(value) or shown is False:
        return ""
    return f"`{value.value if isinstance(value, Enum) else value}`"


# Values: pydantic models and dataclasses


def meanings(cls: type) -> dict[str, str]:
    """Return what is said of each field of a class: in descriptions, below it, or in `Attributes:`.

    A subclass's words come before those of its bases.
    """
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.startswith("langmerge"):
            found |= _attributes_section(base.__dict__.get("__doc__") or "")
            found |= _docstrings_below(base)
    for name, field in getattr(cls, "model_fields", {}).items():
        if field.description:
            found[name] = field.description
    return found


def _docstrings_below(cls: type) -> dict[str, str]:
    """Return the texts that stand below fields in a class's source."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for statement, below in zip(tree.body, tree.body[1:], strict=False):
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
            and isinstance(below.value.value, str)
        ):
            found[statement.target.id] = " ".join(below.value.value.split())
    return found


def _attributes_section(doc: str) -> dict[str, str]:
    """Return the entries of a Google docstring's `Attributes:` section."""
    section = inspect.cleandoc(doc).partition("Attributes:\n")[2]
    text = textwrap.dedent(section.partition("\n\n")[0])
    entries = re.split(r"^(\w+): ", text, flags=re.MULTILINE)[1:]
    return {
        name: " ".join(words.split())
        for name, words in zip(entries[::2], entries[1::2], strict=True)
    }


def _summary(cls: type) -> str:
    return inspect.cleandoc(cls.__doc__ or "").partition("\nAttributes:")[0].strip()


def type_text(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """Return a JSON schema in words: `integer > 0`, `"a" or "b"`, `list of text`."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        target = definitions.get(name, {})
        if "properties" in target:
            return f"[{name}](#{name})"
        return type_text(target, definitions)
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    for union in ("anyOf", "oneOf"):
        if union in schema:
            parts = dict.fromkeys(type_text(part, definitions) for part in schema[union])
            return " or ".join(parts)
    kind = schema.get("type")
    if kind == "array":
        return f"list of {type_text(schema.get('items', {}), definitions)}"
    if kind == "object":
        inner = schema.get("additionalProperties")
        if isinstance(inner, Mapping) and inner:
            return f"mapping to {type_text(inner, definitions)}"
        return "mapping"
    names = {"string": "text", "integer": "integer", "number": "number", "null": "null"}
    names |= {"boolean": "true or false"}
    bounds = [
        f" {sign} {schema[key]:g}"
        for key, sign in (
            ("exclusiveMinimum", "&gt;"),
            ("minimum", "≥"),
            ("exclusiveMaximum", "&lt;"),
            ("maximum", "≤"),
        )
        if key in schema
    ]
    return names.get(str(kind), "any") + ",".join(bounds)


def _fields_table(cls: Any, definitions: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    said = meanings(cls)
    by_key = {field.alias or name: name for name, field in cls.model_fields.items()}
    rows = []
    for key, part in schema.get("properties", {}).items():
        name = by_key.get(key, key)
        rows.append(
            (
                f"`{key}`",
                _cell(type_text(part, definitions)),
                _default_text(key, part, schema),
                _cell(said.get(name, "")),
            )
        )
    return _table(("key", "type", "default", "meaning"), rows)


def _default_text(key: str, part: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    if key in schema.get("required", ()):
        return "required"
    value = part.get("default")
    if value is None or value in ({}, []):
        return ""
    if isinstance(value, dict) and "$ref" in part:
        return ""  # a section of its own shows its keys' defaults
    return _cell(f"`{_yaml(value)}`")


def _yaml(value: Any) -> str:
    """Return a default as one writes it in YAML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_yaml, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_yaml(one)}" for key, one in value.items()) + "}"
    return f'"{value}"' if value != str(value).strip() and isinstance(value, str) else str(value)


# The project file

PROJECT_SECTIONS: Mapping[str, str] = {
    "HubBase": "base: a model on the Hub",
    "LanguageSettings": "languages.LANGUAGE",
    "Classification": "tasks.NAME with type: classification",
    "MultipleChoice": "tasks.NAME with type: multiple_choice",
    "Generation": "tasks.NAME with type: generation",
    "DataConfig": "tasks.NAME.data",
    "HubData": "tasks.NAME.data.hub",
    "Shot": "tasks.NAME.shots.LANGUAGE: a list of",
    "RecipeSettings": "merge.RECIPE",
}
"""Titles of the sections that a reader would not find by the keys that lead to them."""


def project_page() -> str:
    """Return every key of `langmerge.yaml`, by section."""
    from langmerge.project import Project

    schema = Project.model_json_schema()
    definitions = schema.get("$defs", {})
    classes = {cls.__name__: cls for cls in models_of(Project)}
    titles = {cls.__name__: key for cls, key in _keys_of(Project)} | dict(PROJECT_SECTIONS)
    order = sorted((n for n in classes if n != Project.__name__), key=lambda n: _place(titles[n]))
    sections = [
        f"## {titles[name]} {{ #{name} }}\n\n{_summary(classes[name])}\n\n"
        + _fields_table(classes[name], definitions, definitions.get(name, {}))
        for name in order
    ]
    return (
        f"{GENERATED}# Project file\n\n"
        "Every key of `langmerge.yaml`. `langmerge init DIR` writes a commented example; unknown "
        "keys are refused with the nearest known one; paths are relative to the file. "
        "[Writing a project file](../guides/project-file.md) says where to begin.\n\n"
        + _fields_table(Project, definitions, schema)
        + "\n"
        + "\n".join(sections)
    )


def _place(title: str) -> tuple[int, str]:
    """Return where a section stands: in the order of the project file's own keys."""
    from langmerge.project import Project

    first = re.split(r"\W", title)[0]
    return list(Project.model_fields).index(first), title


def _keys_of(root: Any) -> Iterator[tuple[Any, str]]:
    """Yield every model below a model with the keys that lead to it."""
    waiting: list[tuple[Any, str]] = [(root, "")]
    seen = {root}
    for cls, path in waiting:
        for name, field in cls.model_fields.items():
            for model in _models_in(field.annotation):
                if model not in seen:
                    seen.add(model)
                    waiting.append((model, f"{path}{name}."))
                    yield model, f"{path}{name}"


def models_of(root: Any) -> list[Any]:
    """Return a pydantic model and all models its fields hold, each once."""
    found = [root]
    for cls in found:
        for field in cls.model_fields.values():
            found += [m for m in _models_in(field.annotation) if m not in found]
    return found


def _models_in(annotation: Any) -> Iterator[Any]:
    if hasattr(annotation, "model_fields") and isinstance(annotation, type):
        yield annotation
    for part in getattr(annotation, "__args__", ()):
        yield from _models_in(part)


# File formats


def formats_page() -> str:
    """Return every file langmerge writes for others to read, with its keys."""
    from langmerge.merging.schema import methods
    from langmerge.results import Results
    from langmerge.store import Action
    from langmerge.upkeep.releases import Release

    recipe_rows = [
        (f"`{key}`", _cell(meaning))
        for key, meaning in (
            ("adapters", "list of adapters' folders, each a path or `{path:, weight:}`"),
            ("ancestor", "the folder of the adapter that all of them started from"),
            ("method", "a method's name; `ties` by default"),
            ("output", "the folder to write"),
            ("base", "the base checkpoint's folder, for `into_model`"),
            ("into_model", "write a full checkpoint, not an adapter"),
            ("weights", "one number per adapter; equal by default"),
            ("rank", "`full`, a number, or `energy:0.99`"),
            ("space", "`dense`, `svd` or `core`; the method's own by default"),
            ("seed", "what random masks are drawn from"),
            ("profile", "`mergekit` or `knots`, for that tool's defaults"),
        )
    ]
    method_rows = [
        (f"`{info.name}`", f"`{p.key}`", f"`{_yaml(p.default)}`", _cell(p.spec.meaning))
        for info in methods()
        for p in info.parameters
    ]
    return (
        f"{GENERATED}# File formats\n\n"
        "All files are JSON or YAML in UTF-8. Readers should allow keys to be added; a key's "
        "meaning does not change within a `schema_version` (see [versions](../versions.md)).\n\n"
        + _model_section("results.json", Results)
        + "[Results](../results.md) explains them with examples.\n\n"
        + "## Merge recipe\n\nRead by `langmerge merge --recipe FILE`; paths are relative to the "
        "file. Parameters of the method are further keys. A file with `merge_method` is read as "
        "[mergekit's](../methods/index.md#recipe-files).\n\n"
        + _table(("key", "meaning"), recipe_rows)
        + "\n"
        + _table(("method", "key", "default", "meaning"), method_rows)
        + "\n## Record of a merge\n\n`langmerge_recipe.json` beside a merged adapter: the recipe "
        "with all parameters, versions, and the digests of all inputs. Every adapter is a PEFT "
        "folder: `adapter_config.json` and `adapter_model.safetensors`.\n\n"
        "## langmerge.lock\n\nWhich result each job had last; commit it with the project.\n\n"
        + _table(
            ("key", "type", "meaning"),
            [
                ("`version`", "integer", "version of the format"),
                (
                    "`jobs`",
                    "mapping",
                    "job id to `key` (digest of everything the result depends "
                    "on) and `output` (digest of the object it made)",
                ),
            ],
        )
        + "\n## Action\n\n`.langmerge/actions/KEY.json`. "
        + _cell(_summary(Action))
        + "\n\n"
        + _dataclass_table(Action)
        + "| `seal` | text | digest of the text before it, to notice changes |\n\n"
        "## Object manifest\n\n`.langmerge/objects/DIGEST/manifest.json`; the digest of its "
        "canonical JSON is the folder's name.\n\n"
        + _table(
            ("key", "type", "meaning"),
            [("each file's name", "mapping", "`size` in bytes and `sha256`")],
        )
        + "\n"
        + _model_section("Release manifest", Release)
        + "[Releases](../releases.md) explains them.\n"
    )


def _model_section(title: str, root: Any) -> str:
    schema = root.model_json_schema()
    definitions = schema.get("$defs", {})
    parts = [f"## {title}\n\n{_summary(root)}\n\n{_fields_table(root, definitions, schema)}\n"]
    for cls in models_of(root)[1:]:
        parts.append(
            f"### {cls.__name__} {{ #{cls.__name__} }}\n\n{_summary(cls)}\n\n"
            f"{_fields_table(cls, definitions, definitions.get(cls.__name__, {}))}\n"
        )
    return "\n".join(parts)


def _dataclass_table(cls: Any) -> str:
    said = meanings(cls)
    return _table(
        ("key", "type", "meaning"),
        [
            (f"`{field.name}`", "text" if field.type == "str" else "mapping", said[field.name])
            for field in dataclasses.fields(cls)
        ],
    )


# The Python API

PYTHON: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (
        "Merging",
        "langmerge.merging",
        ("merge", "into_model", "inspect_adapters", "methods", "check_recipe"),
    ),
    ("Methods of one's own", "langmerge.merging.registry", ("register", "Spec", "Parameter")),
    ("Adapters", "langmerge.adapter", ("Adapter", "LoraFactors")),
    ("Projects", "langmerge.project", ("load_project", "Project")),
    ("Plans and runs", "langmerge.workspace", ("open_workspace", "Workspace")),
    ("Results", "langmerge.results", ("load_results", "write_results")),
    ("Data", "langmerge.data", ("FileSource", "RowSpec", "read_split")),
    ("Language vectors", "langmerge.analysis", ("analyze", "relate")),
    (
        "Statistics",
        "langmerge.statistics",
        ("bootstrap_mean", "paired_bootstrap", "approximate_randomization", "holm"),
    ),
)
"""Title, module and names of the API that versions keep (docs/versions.md)."""


def python_page() -> str:
    """Return the page from which mkdocstrings makes the Python API."""
    parts = [
        f"## {title}\n\n" + "\n".join(f"::: {module}.{name}\n" for name in names)
        for title, module, names in PYTHON
    ]
    return (
        f"{GENERATED}# Python API\n\n"
        "`import langmerge` imports no torch; `langmerge.merge`, `langmerge.Adapter` and the other "
        "names at the top load what they need on first use. What is on this page is kept by the "
        "[versions' rules](../versions.md); everything else may change.\n\n"
        + "\n".join(parts)
        + "\n## Errors\n\n::: langmerge.errors\n    options:\n      show_root_heading: false\n"
    )


# Markdown


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def devices_script() -> str:
    """Return the devices of the forecast, for the calculator of `docs/how-long.md`."""
    from langmerge.forecast import DEVICES

    devices = {name: dataclasses.asdict(device) for name, device in DEVICES.items()}
    return f"const DEVICES = {json.dumps(devices)};\n"


PAGES: Mapping[str, Callable[[], str]] = {
    "how-long-devices.js": devices_script,
    "reference/cli.md": cli_page,
    "reference/project-file.md": project_page,
    "reference/formats.md": formats_page,
    "reference/python.md": python_page,
}
