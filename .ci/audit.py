"""Ask pip-audit for known vulnerabilities of the pins: found ones fail, an absent network does not.

python .ci/audit.py constraints.txt
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any


def main(pins: str) -> int:
    """Print what is known, and return the exit status."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", pins, "--no-deps"]
    command += ["--disable-pip", "--format", "json", "--progress-spinner", "off"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        print(f"pip-audit could not ask: {last}")
        return 0
    skipped = [package for package in packages if "skip_reason" in package]
    found = [(package, known) for package in packages for known in package.get("vulns", ())]
    print(f"pip-audit: {len(packages) - len(skipped)} pins looked up, {len(skipped)} not to be had")
    for package, known in found:
        fixed = ", ".join(known["fix_versions"]) or "no version yet"
        print(f"{package['name']} {package['version']}: {known['id']}, mended in {fixed}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
