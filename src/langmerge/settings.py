"""`Settings`, the base of every part of `langmerge.yaml`; YAML read so that errors have lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from langmerge.errors import ProjectError, did_you_mean
from langmerge.yaml_text import parse_yaml

Location = tuple[str | int, ...]

_UNKNOWN_KEY = "unknown_key"
_KEY = "key"


def _differ(seeds: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds repeat: {', '.join(map(str, seeds))}; name each seed once")
    return seeds


Seeds = Annotated[tuple[int, ...], Field(min_length=1), AfterValidator(_differ)]
"""Seeds of repeated runs, each once."""


class Settings(BaseModel):
    """A frozen model that refuses unknown keys and names the nearest known one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        known = [field.alias or name for name, field in cls.model_fields.items()]
        for key in value:
            if key not in known:
                # The message as a parameter: braces in a key are no placeholders.
                message = (
                    f"unknown key '{key}'{did_you_mean(str(key), known)}"
                    f" (known: {', '.join(sorted(known))})"
                )
                context = {"message": message, _KEY: key}
                raise PydanticCustomError(_UNKNOWN_KEY, "{message}", context)
        return value


def load_yaml(path: Path) -> tuple[Any, dict[Location, int]]:
    """Return a YAML file's value and the line of every key and item in it.

    Raises:
        ProjectError: if the file is missing, not UTF-8, not YAML, or repeats a key.
    """
    try:
        value, node = parse_yaml(path.read_text(encoding="utf-8"))
        lines = dict(_lines(node, ())) if node is not None else {}
        _refuse_repeated_keys(node, path)
        return value, lines
    except FileNotFoundError:
        raise ProjectError(
            f"{path}: no such file; `langmerge init DIR` makes one, --project FILE names another"
        ) from None
    except IsADirectoryError:
        raise ProjectError(f"{path}: a folder, expected a project file (langmerge.yaml)") from None
    except UnicodeDecodeError as error:
        raise ProjectError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not readable as YAML"
        raise ProjectError(f"{path}{line}: {problem}; check indentation and quotes") from None


def explain(error: ValidationError, path: Path, lines: dict[Location, int]) -> str:
    """Return a validation error as text for a person: one line per problem, with file and key."""
    return "\n".join(_explain(problem, path, lines) for problem in error.errors())


def _explain(problem: Any, path: Path, lines: dict[Location, int]) -> str:
    location = problem["loc"]
    if problem["type"] == _UNKNOWN_KEY:
        location = (*location, problem["ctx"][_KEY])
    known = _in_file(location, lines)
    line = f":{lines[known]}" if known in lines else ""
    shown = known if problem["type"] != "missing" else (*known, location[-1])
    key = ".".join(map(str, shown)) + ": " if shown else ""
    return f"{path}{line}: {key}{_message(problem)}"


def _lines(node: yaml.Node, location: Location) -> Iterator[tuple[Location, int]]:
    yield location, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*location, key.value)
            yield from _lines(value, inner)
            yield inner, key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _lines(value, (*location, index))


def _refuse_repeated_keys(node: yaml.Node | None, path: Path) -> None:
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.value in seen:
                raise ProjectError(
                    f"{path}:{line}: '{key.value}' stands twice (also in line {seen[key.value]}); "
                    "remove one"
                )
            seen[key.value] = line
            _refuse_repeated_keys(value, path)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_repeated_keys(item, path)


def _in_file(location: Location, lines: dict[Location, int]) -> Location:
    """Return the parts of a location that stand in the file.

    Pydantic adds the names of union members to a location; the file knows nothing of them.
    """
    known: Location = ()
    for part in location:
        if (*known, part) in lines:
            known = (*known, part)
    return known


def _message(problem: Any) -> str:
    message: str = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "missing":
        return "missing; it has no default"
    if problem["type"] in ("value_error", _UNKNOWN_KEY):
        return message
    return f"{message[0].lower()}{message[1:]}, found {problem['input']!r:.80}"
