"""The tables of docs/findings.md, each from the raw results alone; empty where there are none."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from results import Raw

from tables.added import added
from tables.calibrated import calibrated
from tables.cost import cost
from tables.crossed import crossed
from tables.curves import curves
from tables.from_combined import from_combined
from tables.heldout import heldout
from tables.inits import inits
from tables.main import choosing, scores, setup, verdict
from tables.methods import methods
from tables.tuned import tuned
from tables.vectors import vectors
from tables.withheld import withheld

BLOCKS: Mapping[str, tuple[Callable[[Raw], str], str]] = {
    "setup": (setup, "main"),
    "verdict": (verdict, "main"),
    "scores": (scores, "main"),
    "choosing": (choosing, "main"),
    "heldout": (heldout, "main --part heldout"),
    "methods": (methods, "main --part survey"),
    "inits": (inits, "inits"),
    "vectors": (vectors, "vectors"),
    "calibrated": (calibrated, "calibrated"),
    "tuned": (tuned, "tuned"),
    "from-combined": (from_combined, "from-combined"),
    "crossed": (crossed, "crossed"),
    "withheld": (withheld, "withheld"),
    "added": (added, "added"),
    "curves": (curves, "curves"),
    "cost": (cost, "upkeep"),
}
"""By the page's block: what writes it, and the parts whose results it shows."""
