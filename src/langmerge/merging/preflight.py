"""What adapters are and whether they can be merged, from their configurations and headers alone."""

from __future__ import annotations

import filecmp
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from langmerge.adapter import Adapter
from langmerge.errors import AdapterError, MergeError
from langmerge.tensors import size_of


@dataclass(frozen=True)
class Summary:
    """One adapter in numbers.

    Attributes:
        source: its tensor file.
        base_model: its base, as its configuration states it.
        revision: the base's revision, likewise.
        modules: how many modules it adapts.
        layers: the modules' last names with how often each occurs.
        ranks: the ranks that occur, ascending.
        scales: the scales (alpha / rank, or alpha / sqrt(rank)) that occur, ascending.
        parameters: the numbers in its factors.
        size: the bytes of all its tensors as stored.
        extras: tensors that are no LoRA factors.
    """

    source: str
    base_model: str | None
    revision: str | None
    modules: int
    layers: dict[str, int]
    ranks: tuple[int, ...]
    scales: tuple[float, ...]
    parameters: int
    size: int
    extras: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """What was found before any weight was read.

    Attributes:
        adapters: the adapters that could be opened.
        problems: why they cannot be merged; empty if they can.
        warnings: what is allowed and seldom meant.
    """

    adapters: tuple[Summary, ...]
    problems: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def mergeable(self) -> bool:
        """Whether nothing stands against a merge."""
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {"mergeable": self.mergeable} | asdict(self)


def inspect(
    adapters: Sequence[Adapter | str | Path], ancestor: Adapter | str | Path | None = None
) -> Report:
    """Return what adapters are, and everything that stands against merging them.

    Args:
        adapters: the adapters, or their folders.
        ancestor: what all of them started from, if anything.
    """
    problems: list[str] = []
    opened = list(_openable(adapters, problems))
    problems += _problems(opened)
    for start in _openable([] if ancestor is None else [ancestor], problems):
        problems += _no_descendants(opened, start)
    return Report(
        adapters=tuple(_summary(adapter) for adapter in opened),
        problems=tuple(problems),
        warnings=tuple(_warnings(opened)),
    )


def check_mergeable(adapters: Sequence[Adapter], ancestor: Adapter | None = None) -> None:
    """Raise MergeError with the first reason why the adapters cannot be merged.

    Args:
        adapters: the adapters.
        ancestor: what all of them started from, if anything.
    """
    for problem in _problems(adapters):
        raise MergeError(problem)
    for problem in () if ancestor is None else _no_descendants(adapters, ancestor):
        raise MergeError(problem)


def _openable(adapters: Sequence[Adapter | str | Path], problems: list[str]) -> Iterator[Adapter]:
    """Yield the adapters that can be opened; add to `problems` why others cannot."""
    for adapter in adapters:
        try:
            yield adapter if isinstance(adapter, Adapter) else Adapter.load(adapter)
        except AdapterError as error:
            problems.append(str(error))


def _summary(adapter: Adapter) -> Summary:
    shapes = adapter.shapes
    scales = {round(adapter.scale(module), 6) for module in shapes}
    return Summary(
        source=adapter.source,
        base_model=adapter.base_model,
        revision=adapter.revision,
        modules=len(shapes),
        layers=dict(sorted(Counter(name.rpartition(".")[2] for name in shapes).items())),
        ranks=tuple(sorted({shape.rank for shape in shapes.values()})),
        scales=tuple(sorted(scales)),
        parameters=sum(s.rank * (s.in_features + s.out_features) for s in shapes.values()),
        size=sum(size_of(header) for header in adapter.headers.values()),
        extras=tuple(adapter.extras),
    )


def _problems(adapters: Sequence[Adapter]) -> Iterator[str]:
    for other in adapters[1:]:
        yield from _different_bases(adapters[0], other)
        yield from _different_layouts(adapters[0], other)
    yield from _different_shapes(adapters)
    yield from _different_extras(adapters)


def _different_bases(first: Adapter, other: Adapter) -> Iterator[str]:
    if first.base_model and other.base_model and not same_base(first.base_model, other.base_model):
        yield (
            f"{other.source}: its base model is '{other.base_model}', but that of {first.source} "
            f"is '{first.base_model}'; only adapters of one base model can be merged"
        )
    if first.revision and other.revision and first.revision != other.revision:
        yield (
            f"{other.source}: trained on revision '{other.revision}' of its base, but "
            f"{first.source} on '{first.revision}'; train both on one revision"
        )


def same_base(first: str, second: str) -> bool:
    """Whether two names can be one model: a path and a hub name agree if their last parts do."""
    if first == second:
        return True
    parts = first.rstrip("/").split("/"), second.rstrip("/").split("/")
    both_on_hub = all(len(part) == 2 and part[0] not in ("", ".", "..") for part in parts)
    return not both_on_hub and parts[0][-1] == parts[1][-1]


def _different_layouts(first: Adapter, other: Adapter) -> Iterator[str]:
    if bool(first.config.get("fan_in_fan_out")) != bool(other.config.get("fan_in_fan_out")):
        yield (
            f"{other.source} and {first.source} disagree on fan_in_fan_out; their base models "
            "store weights differently"
        )


def _different_shapes(adapters: Sequence[Adapter]) -> Iterator[str]:
    """Every module has one shape and one kind, whichever adapter adapts it."""
    seen: dict[str, Adapter] = {}
    for adapter in adapters:
        for module, shape in adapter.shapes.items():
            known = seen.setdefault(module, adapter)
            expected = known.shapes[module]
            if shape[:2] != expected[:2]:
                yield (
                    f"{adapter.source}: module '{module}' is {shape[0]} x {shape[1]}, but "
                    f"{expected[0]} x {expected[1]} in {known.source}; the base models or their "
                    "vocabularies differ"
                )
            if (module in adapter.embeddings) != (module in known.embeddings):
                yield (
                    f"{adapter.source}: module '{module}' is an embedding in one adapter and a "
                    f"linear layer in {known.source}"
                )


def _no_descendants(adapters: Sequence[Adapter], ancestor: Adapter) -> Iterator[str]:
    """Yield why adapters cannot have started from an ancestor: training keeps modules and base."""
    for adapter in adapters:
        for problem in (
            *_different_bases(adapter, ancestor),
            *_different_layouts(adapter, ancestor),
            *_different_shapes((adapter, ancestor)),
        ):
            yield f"ancestor {problem}"
        if missing := [name for name in ancestor.modules if name not in adapter.shapes]:
            yield (
                f"ancestor {ancestor.source}: adapts '{missing[0]}', which {adapter.source} does "
                "not, so that did not start from it; name the ancestor of these adapters, or none"
            )
        if ancestor.extras.keys() - adapter.extras.keys():
            name = min(ancestor.extras.keys() - adapter.extras.keys())
            yield f"ancestor {ancestor.source}: {extra_refusal(name, f'not in {adapter.source}')}"


def _different_extras(adapters: Sequence[Adapter]) -> Iterator[str]:
    """Tensors beside the factors must be in every adapter; whether they are equal shows later."""
    for name in sorted({name for adapter in adapters for name in adapter.extras}):
        for adapter in adapters:
            if name not in adapter.extras:
                yield extra_refusal(name, f"not in {adapter.source}")


def extra_refusal(name: str, found: str) -> str:
    """Return why a tensor that is no LoRA factor cannot be merged."""
    return (
        f"tensor '{name}' is no LoRA factor (modules_to_save, a bias or a trained token) and is "
        f"{found}; train the adapters without it, or with it frozen"
    )


def _warnings(adapters: Sequence[Adapter]) -> Iterator[str]:
    every = {module for adapter in adapters for module in adapter.shapes}
    for adapter in adapters:
        if missing := sorted(every - adapter.shapes.keys()):
            yield (
                f"{adapter.source}: does not adapt {len(missing)} of {len(every)} modules that "
                f"others do ('{missing[0]}' is one); it counts there as no change"
            )
        if adapter.recipe is not None:
            yield f"{adapter.source}: is a merge itself; its parts count again if they are here too"
    if any(a.base_model for a in adapters) and not all(a.base_model for a in adapters):
        unnamed = next(a.source for a in adapters if not a.base_model)
        yield f"{unnamed}: does not name its base model; nothing tells that it is the others'"
    for one, two in _copies(adapters):
        yield f"{one} and {two} have the same content; the adapter counts twice"


def _copies(adapters: Sequence[Adapter]) -> Iterator[tuple[str, str]]:
    """Yield the pairs of equal files; a comparison ends at the first byte that differs."""
    files = [path for adapter in adapters if (path := Path(adapter.source)).is_file()]
    for one, two in itertools.combinations(files, 2):
        if one.stat().st_size == two.stat().st_size and filecmp.cmp(one, two, shallow=False):
            yield str(one), str(two)


def check_target(folder: Path) -> None:
    """Raise MergeError if a merge cannot be written to `folder` without losing something."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise MergeError(f"{folder}: already there, left as it is; choose another folder")
