"""What `--version` says, without importing what it speaks of."""

import subprocess
import sys
from importlib.metadata import version

import pytest

import langmerge
from langmerge import versions


def test_the_versions_that_matter() -> None:
    code = (
        "import sys\nfrom langmerge.cli import app\n"
        "try: app(['--version'])\nexcept SystemExit as e: assert not e.code\n"
        "assert not {'torch', 'transformers', 'peft'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

    said = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())

    assert said["langmerge"] == langmerge.__version__
    assert said["python"] == ".".join(map(str, sys.version_info[:3]))
    assert said["transformers"] == version("transformers")
    assert set(said) == {"langmerge", "python", "torch", "transformers", "peft", "extras"}


def test_extras_are_found_by_their_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = [
        "numpy>=2.0",
        "pyyaml>=6; extra == 'some'",
        "no-such-package; extra == 'none'",
        'pytest<9; python_version > "3" and extra == "both"',
        "langmerge[some,none]; extra == 'all'",
        "langmerge[some]; extra == 'same'",
    ]
    monkeypatch.setattr(versions, "_requirements", lambda: wanted)

    assert versions.extras()["all"] == ("pyyaml", "no-such-package")
    assert versions.installed_extras() == ["both", "same", "some"]
