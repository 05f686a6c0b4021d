"""Layer bands: a merge that counts more in some layers than in others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from langmerge.places import by_layer


def scales_by_module(modules: Iterable[str], scales: Sequence[float]) -> dict[str, float]:
    """Return the factor on each module's merged task vector.

    Modules of no layer (embeddings, the head) count 1.

    Args:
        modules: the names of all modules that are merged.
        scales: a factor per band (see `bands_by_module`), from the first layers to the last.
    """
    bands = bands_by_module(modules, len(scales))
    return {module: 1.0 if band is None else scales[band] for module, band in bands.items()}


def bands_by_module(modules: Iterable[str], bands: int) -> dict[str, int | None]:
    """Return which band of layers each module is in; None for those of no layer.

    The layers are cut, in their order, into as many bands of equal size: with L layers, layer l is
    of band floor(l * bands / L).

    Args:
        modules: the names of all modules that are merged.
        bands: how many bands there are.
    """
    names = list(modules)
    layers = by_layer(names)
    found: dict[str, int | None] = dict.fromkeys(names)
    for index, inside in enumerate(layers.values()):
        found.update(dict.fromkeys(inside, index * bands // len(layers)))
    return found
