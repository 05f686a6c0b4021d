"""Recipe files: a merge in YAML, in our own form or in mergekit's.

    adapters: [de, {path: fr, weight: 2}]
    method: ties
    density: 0.5
    output: merged

A mergekit file is known by `merge_method`; see `mergekit_recipe`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from langmerge.errors import MergeError, did_you_mean
from langmerge.merging.schema import check_recipe, method_info
from langmerge.yaml_text import parse_yaml

_OWN_KEYS = ("adapters", "ancestor", "method", "output", "base", "into_model")
_RECIPE_KEYS = (
    "weights", "rank", "space", "seed", "profile", "layer_scales", "protect", "slack"
)  # fmt: skip


@dataclass(frozen=True)
class MergeOrder:
    """All that a merge needs: from a recipe file, the command line, or both.

    Attributes:
        adapters: the adapters' folders.
        method: a method's name or alias.
        options: its parameters, and weights, rank, space, seed and profile.
        output: the folder to write.
        base: the base checkpoint's folder.
        into_model: whether a full checkpoint is written.
        ancestor: the folder of the adapter that all of them started from.
        notes: keys of the file that have no effect here, and why.
    """

    adapters: tuple[Path, ...] = ()
    method: str = "ties"
    options: Mapping[str, Any] = field(default_factory=dict)
    output: Path | None = None
    base: Path | None = None
    into_model: bool = False
    ancestor: Path | None = None
    notes: tuple[str, ...] = ()

    def changed(self, options: Mapping[str, Any], **values: Any) -> MergeOrder:
        """Return the order with the values that are given put in place of its own."""
        given = {key: value for key, value in values.items() if value}
        return replace(self, options={**self.options, **options}, **given)

    def checked(self) -> MergeOrder:
        """Return the order with its options as keyword arguments.

        Raises:
            MergeError: if something is missing or wrong.
        """
        if not self.adapters:
            raise MergeError("expected the folders of the adapters to merge, found none")
        if self.output is None:
            raise MergeError("expected a folder to write to: -o FOLDER, or output: in the recipe")
        if self.into_model and self.base is None:
            raise MergeError("--into-model needs the base checkpoint's folder: --base FOLDER")
        check_recipe(self.method, self.options, len(self.adapters))
        options = {"lambda_" if k == "lambda" else k: v for k, v in self.options.items()}
        return replace(self, options=options)


def read_recipe(path: Path) -> MergeOrder:
    """Read a recipe file; paths in it are relative to its folder.

    Raises:
        MergeError: if it cannot be read, or a key is unknown or has no counterpart here.
    """
    try:
        value, _ = parse_yaml(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise MergeError(f"{path}: cannot be read ({error})") from error
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise MergeError(f"{path}: is not valid YAML ({reason})") from error
    if not isinstance(value, dict):
        raise MergeError(f"{path}: expected keys such as adapters and method, found {value!r}")
    if "merge_method" in value:
        from langmerge.merging.mergekit_recipe import order_of

        return order_of(value, path)
    return _own(value, path)


def _own(value: Mapping[str, Any], path: Path) -> MergeOrder:
    method = str(value.get("method", "ties"))
    parameters = [parameter.key for parameter in method_info(method).parameters]
    known = [*_OWN_KEYS, *_RECIPE_KEYS, *parameters]
    for key in value:
        if key not in known:
            raise MergeError(
                f"{path}: unknown key {key!r}{did_you_mean(str(key), known)} "
                f"(known: {', '.join(known)})"
            )
    options = {key: value[key] for key in value if key not in _OWN_KEYS}
    adapters, weights = _adapters(value.get("adapters"), path)
    if weights is not None:
        if "weights" in options:
            raise MergeError(f"{path}: gives weights twice; keep weights or the adapters' weight")
        options["weights"] = weights
    return MergeOrder(
        adapters=adapters,
        method=method,
        options=options,
        output=resolved(value.get("output"), path),
        base=resolved(value.get("base"), path),
        into_model=bool(value.get("into_model", False)),
        ancestor=resolved(value.get("ancestor"), path),
    )


def _adapters(value: Any, path: Path) -> tuple[tuple[Path, ...], list[Any] | None]:
    """Return the adapters' folders, and their weights if any is given."""
    if isinstance(value, str) or not isinstance(value, Sequence) or not value:
        raise MergeError(f"{path}: adapters is {value!r}, expected a list of folders")
    folders, weights = [], []
    for entry in value:
        item = entry if isinstance(entry, dict) else {"path": entry}
        if unknown := [key for key in item if key not in ("path", "weight")]:
            raise MergeError(
                f"{path}: an adapter has the key {unknown[0]!r}, expected path and weight"
            )
        if not isinstance(item.get("path"), str):
            raise MergeError(f"{path}: adapter {entry!r} is not a folder's path")
        folders.append(path.parent / item["path"])
        weights.append(item.get("weight"))
    if all(weight is None for weight in weights):
        return tuple(folders), None
    return tuple(folders), [1.0 if weight is None else weight for weight in weights]


def resolved(value: Any, path: Path) -> Path | None:
    """Return a path that a recipe file names, relative to the file's folder."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise MergeError(f"{path}: {value!r} is not a folder's path")
    return path.parent / value
