"""`weights: calibrated`: what a project file says of weights that are learned on dev.

The merge job learns them (`choose.calibrate`); its key holds what they depend on. Raise `VERSION`
when what is learned changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langmerge.errors import MergeError

CALIBRATED = "calibrated"
VERSION = 1
ROWS = 100
"""Dev rows of each language, at most."""

METHOD = "task_arithmetic"
"""The method whose weights are learned: a plain weighted sum."""

_LEARNED = {"lambda": "the weights", "lambda_": "the weights", "layer_scales": "calibration_bands"}


def check_calibrated(method: str, given: Mapping[str, Any]) -> None:
    """Raise if weights cannot be learned for a recipe.

    Args:
        method: its method's own name.
        given: the parameters that it states.

    Raises:
        MergeError: if the method is no plain weighted sum, or a scale is stated beside the weights.
    """
    if method != METHOD:
        why = (
            "it divides by the weights' sum, so only their ratios would count"
            if method == "linear"
            else "it is none"
        )
        raise MergeError(
            f"{method}: calibrated weights are those of a plain weighted sum, and {why}; "
            f"use method: {METHOD}"
        )
    for key, instead in _LEARNED.items():
        if given.get(key) is not None:
            raise MergeError(
                f"{method}: {key} scales the merge, which calibrated weights do themselves; "
                f"leave it to {instead}"
            )
