"""Which versions are installed, read from the packages' metadata: nothing is imported."""

from __future__ import annotations

import platform
import re
from importlib.metadata import PackageNotFoundError, requires, version

from langmerge import __version__

_CORE = ("torch", "transformers", "peft")
_REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(?:\[(?P<extras>[^\]]*)\])?")
_OF_EXTRA = re.compile(r"extra\s*==\s*['\"]([\w.-]+)['\"]")


def installed_versions() -> dict[str, str]:
    """Return the version of langmerge, Python and the libraries that results depend on."""
    found = {"langmerge": __version__, "python": platform.python_version()}
    return found | {name: _version(name) or "not installed" for name in _CORE}


def extras() -> dict[str, tuple[str, ...]]:
    """Return the packages that each extra asks for, with those of extras that it names."""
    asked: dict[str, list[re.Match[str]]] = {}
    for requirement in _requirements():
        name = _REQUIREMENT.match(requirement)
        for extra in _OF_EXTRA.findall(requirement):
            if name is not None:
                asked.setdefault(extra, []).append(name)

    def packages(extra: str) -> list[str]:
        found: list[str] = []
        for name in asked.get(extra, ()):
            if name["name"] == "langmerge":
                inner = re.split(r"\s*,\s*", name["extras"] or "")
                found += [package for one in inner for package in packages(one)]
            else:
                found.append(name["name"])
        return found

    return {extra: tuple(dict.fromkeys(packages(extra))) for extra in sorted(asked)}


def installed_extras() -> list[str]:
    """Return the extras all of whose packages are installed."""
    return [extra for extra, packages in extras().items() if all(map(_version, packages))]


def _requirements() -> list[str]:
    try:
        return requires("langmerge") or []
    except PackageNotFoundError:  # run from a checkout that was never installed
        return []


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
