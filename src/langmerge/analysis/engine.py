"""Adapters in, their comparison out: module by module, so that memory does not grow with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from langmerge.adapter import Adapter
from langmerge.analysis.clusters import average_linkage, distances
from langmerge.analysis.cosines import Similarity, gram, similarity
from langmerge.analysis.factored import Changes, Svd, minus, read, svd
from langmerge.analysis.kept import Inside, inside, kept
from langmerge.analysis.record import Analysis
from langmerge.analysis.signs import SignCounts, count_signs, signs
from langmerge.analysis.spectra import Spectrum, mean_spectrum, spectrum
from langmerge.analysis.subspaces import Angles, angles, overlap
from langmerge.errors import AdapterError
from langmerge.merging.preflight import check_mergeable
from langmerge.merging.threads import default_workers, map_threads
from langmerge.metrics.base import Floats
from langmerge.places import by_layer, by_type


@dataclass(frozen=True)
class _Module:
    """What is found in one module; but for the spectra, all adds up over modules.

    Attributes:
        products: inner products of the adapters and, last, the merged one if there is one.
        spectra: in the same order; None where an adapter has no change.
        columns: angles between the adapters' column spaces.
        rows: angles between their row spaces.
        signs: counts of the adapters' signs; of nothing if not asked for.
        inside: the adapters' energies in the merged one's subspaces.
    """

    products: Floats
    spectra: tuple[Spectrum | None, ...]
    columns: Angles
    rows: Angles
    signs: SignCounts
    inside: Inside


def analyze(
    adapters: Mapping[str, Adapter | str | Path],
    *,
    merged: Adapter | str | Path | None = None,
    density: float | None = 0.2,
    decompose_merged: bool = True,
    on_progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
    ancestor: Adapter | str | Path | None = None,
) -> Analysis:
    """Compare the task vectors of adapters of one base model.

    All but the signs costs about as much as a few products of the factors; the signs need every
    entry of every task vector once or twice.

    Args:
        adapters: two or more adapters or their folders, by name.
        merged: an adapter merged of them (or any other), to see what it keeps of each.
        density: share of entries kept before signs are compared, above 0 to 1; None leaves the
            signs out. 0.2 is what TIES was proposed with.
        decompose_merged: also take the merged change apart: its ranks, and what of each adapter
            lies inside its subspaces. A merge of full rank takes most of the time.
        on_progress: called with (modules done, modules in all).
        workers: how many modules are computed at a time; as many as there are cores by default.
        ancestor: the adapter that all of them started from: what is compared is how far each has
            come from it, and the merged one too.

    Raises:
        AdapterError: if there are fewer than two adapters, or one cannot be read or holds NaN.
        MergeError: if they are of different bases or their modules of different shapes.
        ValueError: if the density is out of its range.
    """
    if len(adapters) < 2:
        found = next(iter(adapters), "none")
        raise AdapterError(f"expected two adapters or more to compare, found {found}")
    if density is not None and not 0 < density <= 1:
        raise ValueError(f"density is {density}, expected a number above 0 and at most 1")
    opened = [_open(adapter) for adapter in adapters.values()]
    merge = [] if merged is None else [_open(merged)]
    start = None if ancestor is None else _open(ancestor)
    check_mergeable(opened + merge, start)
    names = sorted({module for adapter in opened + merge for module in adapter.modules})

    def compare(module: str) -> _Module:
        origin = None if start is None else read(start, module)
        changes = [minus(read(adapter, module), origin) for adapter in opened + merge]
        return _compare(changes, len(opened), density, decompose_merged)

    modules: dict[str, _Module] = {}
    results = map_threads(compare, names, workers or default_workers())
    for name, result in zip(names, results, strict=True):
        modules[name] = result
        if on_progress is not None:
            on_progress(len(modules), len(names))
    analysis = _summarize(tuple(adapters), modules, density, with_merged=bool(merge))
    return analysis if decompose_merged else analysis.without_merged_subspaces()


def _open(adapter: Adapter | str | Path) -> Adapter:
    return adapter if isinstance(adapter, Adapter) else Adapter.load(adapter)


def _compare(everyone: Changes, n: int, density: float | None, decompose_merged: bool) -> _Module:
    """Compare one module's changes: of `n` adapters and, if there is one more, the merged one."""
    changes = everyone[:n]
    decomposed = everyone if decompose_merged else [*changes, *(None for _ in everyone[n:])]
    svds = [None if change is None else svd(change) for change in decomposed]
    products = gram(everyone)
    only_merged = all(change is None for change in changes)
    return _Module(
        products=products,
        spectra=tuple(None if x is None else spectrum(x.values) for x in svds),
        columns=angles([None if x is None else x.left for x in svds[:n]]),
        rows=angles([None if x is None else x.right for x in svds[:n]]),
        signs=(
            SignCounts.nothing(n)
            if density is None or only_merged
            else count_signs(changes, density)
        ),
        inside=inside(changes, products.diagonal()[:n], _merged(svds, n)),
    )


def _merged(svds: Sequence[Svd | None], n: int) -> Svd | None:
    return svds[n] if len(svds) > n else None


def _summarize(
    names: tuple[str, ...],
    modules: Mapping[str, _Module],
    density: float | None,
    *,
    with_merged: bool,
) -> Analysis:
    n = len(names)
    found = list(modules.values())
    everyone = _sum_of_products(found)
    whole = similarity(everyone[:n, :n])
    merged_spectra = [s for x in found for s in x.spectra[n:] if s is not None]

    def similarities(groups: Mapping[str, Sequence[str]]) -> dict[str, Similarity]:
        return {
            group: similarity(_sum_of_products([modules[m] for m in members])[:n, :n])
            for group, members in groups.items()
        }

    return Analysis(
        names=names,
        whole=whole,
        layers=similarities(by_layer(modules)),
        types=similarities(by_type(modules)),
        signs=(
            None
            if density is None
            else signs(sum((x.signs for x in found), SignCounts.nothing(n)), density)
        ),
        column_overlap=overlap(sum((x.columns for x in found), Angles.nothing(n))),
        row_overlap=overlap(sum((x.rows for x in found), Angles.nothing(n))),
        spectra=tuple(_mean_spectrum(x.spectra[i] for x in found) for i in range(n)),
        joins=average_linkage(distances(whole.cosines)),
        kept=(
            kept(everyone, sum((x.inside for x in found), Inside.nothing(n)))
            if with_merged
            else None
        ),
        merged_norm=similarity(everyone).norms[n] if with_merged else None,
        merged_spectrum=mean_spectrum(merged_spectra) if merged_spectra else None,
    )


def _sum_of_products(modules: Sequence[_Module]) -> Floats:
    products: Floats = np.sum([module.products for module in modules], axis=0)
    return products


def _mean_spectrum(spectra: Iterable[Spectrum | None]) -> Spectrum:
    return mean_spectrum([x for x in spectra if x is not None])
