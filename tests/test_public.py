"""The names at the top: there, lazy, and functions still after their modules were imported."""

import subprocess
import sys

import langmerge


def test_every_public_name_is_there() -> None:
    for name in langmerge.__all__:
        assert getattr(langmerge, name) is not None


def test_merge_is_a_function_whatever_was_imported() -> None:
    import langmerge.merging.schema
    import langmerge.project

    assert callable(langmerge.merge)
    assert callable(langmerge.merge)
    assert {method.name for method in langmerge.methods()} >= {"ties", "linear", "dare_ties"}


def test_importing_the_package_imports_no_torch() -> None:
    code = "import sys, langmerge; langmerge.methods(); assert 'torch' not in sys.modules"

    subprocess.run([sys.executable, "-c", code], check=True)
