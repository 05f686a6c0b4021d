"""Profiles: the defaults of other tools, for results that can be compared with theirs.

A profile changes what a recipe leaves out, never what it says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langmerge.errors import MergeError, did_you_mean

# mergekit 0.1.5, `merge_methods/registry.py`: DARE adds the models up and keeps the L1 norm.
_MERGEKIT: Mapping[str, Mapping[str, Any]] = {
    "linear": {},
    "task_arithmetic": {},
    "ties": {"density": 1.0, "normalize": True, "rescale": "none", "trim": "tensor"},
    "dare_ties": {"density": 1.0, "normalize": False, "rescale": "l1"},
    "dare_linear": {"density": 1.0, "normalize": False, "rescale": "l1"},
    "della": {"density": 1.0, "normalize": True, "rescale": "l1"},
    "della_linear": {"density": 1.0, "normalize": False, "rescale": "l1"},
    "breadcrumbs": {"density": 1.0, "normalize": False, "rescale": "none"},
    "breadcrumbs_ties": {"density": 1.0, "normalize": False, "rescale": "none"},
    "sce": {"density": 1.0},
    "model_stock": {},
}
# The code of KnOTS (arXiv:2410.19735): TIES as its authors wrote it, over the whole model.
_KNOTS: Mapping[str, Mapping[str, Any]] = {
    "knots_ties": {"trim": "model", "zero_sign": "majority"},
    "knots_dare": {"rescale": "density", "zero_sign": "majority"},
}
PROFILES: Mapping[str, Mapping[str, Mapping[str, Any]]] = {"mergekit": _MERGEKIT, "knots": _KNOTS}


def profile_defaults(profile: str | None, method: str) -> Mapping[str, Any]:
    """Return what a profile gives a method in place of its defaults.

    Raises:
        MergeError: if there is no such profile, or it has no such method.
    """
    if profile is None:
        return {}
    if profile not in PROFILES:
        raise MergeError(
            f"{method}: profile is {profile!r}, expected one of {', '.join(PROFILES)}"
            f"{did_you_mean(str(profile), PROFILES)}"
        )
    known = PROFILES[profile]
    if method not in known:
        raise MergeError(
            f"{method}: the profile '{profile}' has no such method (it has {', '.join(known)})"
        )
    return known[method]
