"""The whole comparison as one immutable value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from langmerge.analysis.clusters import Join, leaf_order
from langmerge.analysis.cosines import Similarity
from langmerge.analysis.kept import Kept
from langmerge.analysis.matrices import Number, mean_with_others
from langmerge.analysis.signs import Signs
from langmerge.analysis.spectra import Spectrum
from langmerge.analysis.subspaces import Overlap


@dataclass(frozen=True)
class Analysis:
    """Language vectors compared; every sequence and matrix is in the order of `names`.

    Attributes:
        names: the adapters' names.
        whole: cosines and norms over all modules.
        layers: the same over each layer's modules; modules outside of layers are in none.
        types: the same over the modules of each type.
        signs: agreement of signs after trimming; None if not asked for.
        column_overlap: of the spaces the changes write to.
        row_overlap: of the spaces the changes read from.
        spectra: ranks of every adapter.
        joins: the dendrogram over `1 - cosine` of the whole.
        kept: what a merged adapter keeps of every adapter; None without one.
        merged_norm: norm of the merged adapter; None without one.
        merged_spectrum: ranks of the merged adapter; None without one, or if not asked for.
    """

    names: tuple[str, ...]
    whole: Similarity
    layers: Mapping[str, Similarity]
    types: Mapping[str, Similarity]
    signs: Signs | None
    column_overlap: Overlap
    row_overlap: Overlap
    spectra: tuple[Spectrum, ...]
    joins: tuple[Join, ...]
    kept: tuple[Kept, ...] | None = None
    merged_norm: float | None = None
    merged_spectrum: Spectrum | None = None

    def without_merged_subspaces(self) -> Analysis:
        """Return the analysis without what only the merged change's decomposition tells."""
        if self.kept is None:
            return self
        kept = tuple(replace(x, inside=None, inside_by_chance=None) for x in self.kept)
        return replace(self, kept=kept, merged_spectrum=None)

    @property
    def leaf_order(self) -> tuple[int, ...]:
        """Positions in `names` such that adapters alike stand together."""
        return leaf_order(self.joins)

    def measures(self) -> dict[str, dict[str, float]]:
        """Return one number per adapter and measure, for `relate`; undefined ones are left out.

        Numbers of pairs are each adapter's mean over its pairs with the others.
        """
        found: dict[str, Sequence[Number]] = {
            "mean_cosine": mean_with_others(self.whole.cosines),
            "norm": self.whole.norms,
            "effective_rank": [x.effective_rank for x in self.spectra],
            "stable_rank": [x.stable_rank for x in self.spectra],
            "column_overlap": mean_with_others(self.column_overlap.mean_squared_cosine),
            "row_overlap": mean_with_others(self.row_overlap.mean_squared_cosine),
        }
        if self.signs is not None:
            found["sign_agreement"] = mean_with_others(self.signs.agreement)
        if self.kept is not None:
            found["kept_cosine"] = [x.cosine for x in self.kept]
            found["kept_amount"] = [x.amount for x in self.kept]
        return {
            measure: {name: x for name, x in zip(self.names, numbers, strict=True) if x is not None}
            for measure, numbers in found.items()
        }

    def to_json(self) -> dict[str, Any]:
        """Return the analysis as JSON values: the attributes, and joins as scipy's linkage."""
        return asdict(self) | {"joins": [list(join) for join in self.joins]}
