"""Merging methods of other installed packages, found by their entry points.

    [project.entry-points."langmerge.merging_methods"]
    my_methods = "my_package.methods"

An entry point names a module; importing it registers its methods by `@register`.
"""

from __future__ import annotations

import warnings
from functools import cache
from importlib.metadata import entry_points

GROUP = "langmerge.merging_methods"


@cache
def load_installed_methods() -> None:
    """Import the modules that installed packages name, once; one that fails is warned of."""
    for entry in entry_points(group=GROUP):
        try:
            entry.load()
        except Exception as error:  # whatever foreign code raises must not stop our own methods
            package = entry.dist.name if entry.dist is not None else "a package"
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            warnings.warn(
                f"{package}: its merging methods ({entry.value}) cannot be loaded ({reason}); "
                "mend or uninstall it",
                RuntimeWarning,
                stacklevel=2,
            )


def method_packages() -> dict[str, str]:
    """Return the versions of the installed packages that bring methods, by name."""
    found = (entry.dist for entry in entry_points(group=GROUP))
    return {dist.name: dist.version for dist in found if dist is not None}
