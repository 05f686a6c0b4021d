"""Layer bands: a merge that counts more in some layers than in others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from langmerge.places import by_layer


def scales_by_module(modules: Iterable[str], scales: Sequence[float]) -> dict[str, float]:
    """Return the factor on each module's merged task vector.

    The layers are cut, in their order, into as many bands of equal size as there are scales: with
    L layers, layer l is of band floor(l * bands / L). Modules of no layer (embeddings, the head)
    count 1.

    Args:
        modules: the names of all modules that are merged.
        scales: a factor per band, from the first layers to the last.
    """
    layers = by_layer(modules)
    found = dict.fromkeys(modules, 1.0)
    for index, inside in enumerate(layers.values()):
        scale = scales[index * len(scales) // len(layers)]
        found.update(dict.fromkeys(inside, scale))
    return found
