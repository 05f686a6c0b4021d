"""Whether adapters can be merged, from their configurations and headers alone."""

from __future__ import annotations

from collections.abc import Sequence

from langmerge.adapter import Adapter
from langmerge.errors import MergeError


def check_mergeable(adapters: Sequence[Adapter]) -> None:
    """Raise MergeError with the first reason why the adapters cannot be merged."""
    first = adapters[0]
    for other in adapters[1:]:
        _check_bases(first, other)
        _check_layouts(first, other)
    _check_shapes(adapters)


def _check_bases(first: Adapter, other: Adapter) -> None:
    if first.base_model and other.base_model and not _same_base(first.base_model, other.base_model):
        raise MergeError(
            f"{other.source}: its base model is '{other.base_model}', but that of {first.source} "
            f"is '{first.base_model}'; only adapters of one base model can be merged"
        )
    if first.revision and other.revision and first.revision != other.revision:
        raise MergeError(
            f"{other.source}: trained on revision '{other.revision}' of its base, but "
            f"{first.source} on '{first.revision}'; train both on one revision"
        )


def _same_base(first: str, second: str) -> bool:
    """Whether two names can be one model: a path and a hub name agree if their last parts do."""
    if first == second:
        return True
    parts = first.rstrip("/").split("/"), second.rstrip("/").split("/")
    both_on_hub = all(len(part) == 2 and part[0] not in ("", ".", "..") for part in parts)
    return not both_on_hub and parts[0][-1] == parts[1][-1]


def _check_layouts(first: Adapter, other: Adapter) -> None:
    if bool(first.config.get("fan_in_fan_out")) != bool(other.config.get("fan_in_fan_out")):
        raise MergeError(
            f"{other.source} and {first.source} disagree on fan_in_fan_out; their base models "
            "store weights differently"
        )


def _check_shapes(adapters: Sequence[Adapter]) -> None:
    """Every module has one shape and one kind, whichever adapter adapts it."""
    seen: dict[str, Adapter] = {}
    for adapter in adapters:
        for module, shape in adapter.shapes.items():
            known = seen.setdefault(module, adapter)
            expected = known.shapes[module]
            if shape[:2] != expected[:2]:
                raise MergeError(
                    f"{adapter.source}: module '{module}' is {shape[0]} x {shape[1]}, but "
                    f"{expected[0]} x {expected[1]} in {known.source}; the base models or their "
                    "vocabularies differ"
                )
            if (module in adapter.embeddings) != (module in known.embeddings):
                raise MergeError(
                    f"{adapter.source}: module '{module}' is an embedding in one adapter and a "
                    f"linear layer in {known.source}"
                )
