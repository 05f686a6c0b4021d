"""The package: what is in wheel and sdist, what importing it needs, and where it compiles."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import dependencies
import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.10", "3.11", "3.12", "3.13")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling", reason="hatchling is not installed")
    pytest.importorskip("build", reason="build is not installed")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    [wheel] = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(folder)
    return folder


def test_the_wheel_has_the_package_its_data_and_the_pages_and_nothing_else(installed: Path) -> None:
    [metadata] = installed.glob("*.dist-info")
    assert {path.name for path in installed.iterdir()} == {"langmerge", metadata.name}
    package = installed / "langmerge"
    sources = {p.relative_to(ROOT / "src/langmerge") for p in ROOT.glob("src/langmerge/**/*.py")}
    assert sources == {p.relative_to(package) for p in package.rglob("*.py")}
    assert (package / "py.typed").is_file()
    assert (package / "quickstart/data/sentiment/de/train.jsonl").is_file()
    assert (package / "docs/data.md").is_file()
    assert {path.name for path in metadata.glob("licenses/**/*") if path.is_file()} >= {"LICENSE"}
    assert "langmerge.cli:main" in (metadata / "entry_points.txt").read_text()


def test_the_sdist_has_what_building_and_testing_need(built: Path) -> None:
    [sdist] = built.glob("*.tar.gz")
    with tarfile.open(sdist) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    for name in ("pyproject.toml", "hatch_build.py", "mkdocs.yml", "tests/conftest.py", "LICENSE"):
        assert name in names
    assert "constraints.txt" in names
    assert "docs/images/report.png" in names


def test_the_package_imports_without_any_dependency(installed: Path) -> None:
    """In an isolated Python without site packages: no torch, no numpy, nothing."""
    code = (
        f"import sys; sys.path.insert(0, {str(installed)!r})\n"
        "import langmerge\n"
        f"assert langmerge.__file__.startswith({str(installed)!r})\n"
        "print(langmerge.__version__)\n"
        "import langmerge.errors, langmerge.guide\n"
        "error = langmerge.errors.DataError('x')\n"
        "print(langmerge.guide.page_for(error))"
    )
    env = {key: value for key, value in os.environ.items() if key != "LANGMERGE_DOCS"}
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code],
        capture_output=True,
        text=True,
        env=env,
        check=True,
    )
    version, page = done.stdout.split()
    assert version == re.search(r'__version__ = "(.+)"', _text("src/langmerge/__init__.py"))[1]
    assert f'version = "{version}"' in _text("pyproject.toml")
    assert page == str(installed / "langmerge" / "docs" / "data.md")


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("version", PYTHONS)
def test_every_file_compiles(version: str) -> None:
    python = _interpreter(version)
    if python is None:
        pytest.skip(f"no Python {version} on this machine")
    code = (
        "import pathlib, sys\n"
        "for path in sys.stdin.read().splitlines():\n"
        "    compile(pathlib.Path(path).read_text('utf-8'), path, 'exec')\n"
        "print('%d.%d' % sys.version_info[:2])"
    )
    files = [str(path) for folder in ("src", "tools", "examples") for path in _sources(folder)]
    done = subprocess.run(
        [python, "-I", "-c", code],
        input="\n".join(files),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == version


def _sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def _interpreter(version: str) -> str | None:
    """Return a working Python of that version: on the path, or one of pyenv's."""
    root = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    pyenv = sorted(map(str, root.glob(f"versions/{version}.*/bin/python")))
    for candidate in (shutil.which(f"python{version}"), *pyenv):
        if candidate is not None:
            tried = subprocess.run([candidate, "-V"], capture_output=True, check=False)
            if tried.returncode == 0:
                return candidate
    return None


def test_pins_that_need_a_newer_python_say_so() -> None:
    for line in _text("constraints.txt").splitlines():
        if not line or line.startswith("#"):
            continue
        pin = Requirement(line)
        try:
            needs = distribution(pin.name).metadata.get("Requires-Python")
        except PackageNotFoundError:
            continue
        oldest = {"python_version": "3.10", "python_full_version": "3.10.13"}
        if needs and "3.10" not in _specifiers(needs):
            assert pin.marker is not None, f'{line}: add ; python_version >= "3.11"'
            assert not pin.marker.evaluate(oldest)


def _specifiers(text: str) -> object:
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(text)


def test_every_extra_has_a_purpose_and_a_row() -> None:
    own = dependencies.project_requirements()
    page = _text("docs/extras.md")
    for extra in own:
        if extra != dependencies.CORE:
            assert extra in dependencies.PURPOSES, (
                f"say in tools/dependencies.py what {extra} is for"
            )
            assert f"| `{extra}` |" in page, "python tools/dependencies.py"


def test_licences_and_the_bill_of_materials_name_every_package() -> None:
    packages = dependencies.for_users(dependencies.project_requirements())
    page = _text("docs/licences.md")
    bill = dependencies.sbom(packages)
    assert {"torch", "transformers", "peft", "pydantic"} <= set(packages)
    named = {component["name"]: component for component in bill["components"]}
    for name in ("torch", "peft", "safetensors"):
        assert f"| {name} |" in page
        assert named[name]["purl"] == f"pkg:pypi/{name}@{named[name]['version']}"
        assert named[name]["licenses"][0]["license"]["name"]
