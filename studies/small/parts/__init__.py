"""The parts of the study: what each trains, merges and asks."""

from __future__ import annotations

from collections.abc import Mapping

from parts.added import added
from parts.calibrated import calibrated
from parts.crossed import crossed
from parts.curves import curves
from parts.from_combined import from_combined
from parts.heldout import heldout
from parts.main import inits, main
from parts.steps import Part
from parts.survey import survey
from parts.tuned import tuned
from parts.upkeep import upkeep
from parts.vectors import vectors
from parts.withheld import withheld

PARTS: Mapping[str, Part] = {
    "main": main,
    "heldout": heldout,
    "survey": survey,
    "calibrated": calibrated,
    "withheld": withheld,
    "upkeep": upkeep,
    "added": added,
    "curves": curves,
    "inits": inits,
    "vectors": vectors,
    "crossed": crossed,
    "tuned": tuned,
    "from-combined": from_combined,
}
