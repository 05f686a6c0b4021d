"""Reading data must not cost the import of heavy packages."""

import subprocess
import sys

HEAVY = ("torch", "transformers", "datasets", "pyarrow", "numpy")


def test_importing_data_imports_nothing_heavy():
    code = f"import langmerge.data, sys; print([name for name in {HEAVY} if name in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
