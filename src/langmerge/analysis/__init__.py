"""Language vectors compared: how alike the changes are that adapters make, and what a merge keeps.

    analysis = analyze({"de": "adapters/de", "fr": "adapters/fr"}, merged="merged")
    relate(analysis.measures()["mean_cosine"], losses)

What every number means, and what it does not show: docs/analysis.md.
"""

from langmerge.analysis.clusters import Join, average_linkage
from langmerge.analysis.cosines import Similarity
from langmerge.analysis.donors import Donor, donors
from langmerge.analysis.engine import analyze
from langmerge.analysis.kept import Kept
from langmerge.analysis.record import Analysis
from langmerge.analysis.relation import Relation, relate
from langmerge.analysis.signs import Signs
from langmerge.analysis.spectra import Spectrum
from langmerge.analysis.subspaces import Overlap

__all__ = [
    "Analysis",
    "Donor",
    "Join",
    "Kept",
    "Overlap",
    "Relation",
    "Signs",
    "Similarity",
    "Spectrum",
    "analyze",
    "average_linkage",
    "donors",
    "relate",
]
