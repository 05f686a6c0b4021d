"""Where a module stands in the model, read from its name: its layer and its type."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_LAYER = re.compile(r"(?P<layer>(?:.*?\.)?\d+)\.(?P<type>.+)")
_NUMBER = re.compile(r"(?<![^.])\d+(?![^.])")


def layer_and_type(module: str) -> tuple[str | None, str]:
    """Split a module's name after its first number.

    `model.layers.3.mlp.experts.7.w1` is of layer `model.layers.3` and type `mlp.experts.*.w1`;
    `lm_head` is of no layer, and its own type.
    """
    found = _LAYER.fullmatch(module)
    if found is None:
        return None, module
    return found["layer"], _NUMBER.sub("*", found["type"])


def by_layer(modules: Iterable[str]) -> dict[str, list[str]]:
    """Return the modules of every layer, in the layers' order; those of no layer are left out."""
    layers = _grouped({module: layer_and_type(module)[0] for module in modules})
    return {layer: layers[layer] for layer in sorted(layers, key=_natural)}


def by_type(modules: Iterable[str]) -> dict[str, list[str]]:
    """Return the modules of every type, sorted by type."""
    types = _grouped({module: layer_and_type(module)[1] for module in modules})
    return {kind: types[kind] for kind in sorted(types)}


def _grouped(places: Mapping[str, str | None]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for module, place in places.items():
        if place is not None:
            groups.setdefault(place, []).append(module)
    return groups


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a sort key by which layer 2 comes before layer 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in name.split(".")]
