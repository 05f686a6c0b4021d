"""Fetch the three public sets and cut them to the paper's sizes; needs `langmerge[recipes]`.

    python studies/paper/prepare.py [--source mcsqa=FOLDER ...]

`langmerge init --recipe` reads each set once into `sets/NAME`, with its licence and commit in
`SOURCE.md`. The first rows of each language go to `data/TASK/LANG`: the paper's 3,000 (5,000) for
training, 500 for validation and for test. The next as many training rows go to `updates/TASK/LANG`,
for the experiment in which a language is retrained on new rows.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
LANGUAGES = "en,de,fr,ja,zh"
SETS = {
    "wiki-lingua": ("summarization", 3000),
    "mcsqa": ("reasoning", 5000),
    "multilingual-sentiment": ("sentiment", 5000),
}
HELD_OUT = 500


def main() -> None:
    """Write data and updates."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--source", action="append", default=[], help="NAME=FOLDER, a local copy")
    parser.add_argument("--languages", default=LANGUAGES)
    parser.add_argument("--out", type=Path, default=HERE)
    options = parser.parse_args()
    sources = dict(source.split("=", 1) for source in options.source)
    for name, (task, count) in SETS.items():
        fetched = options.out / "sets" / name
        if not (fetched / "langmerge.yaml").exists():
            _fetch(name, fetched, options.languages, 2 * count, sources.get(name))
        for folder in sorted((fetched / "data" / task).iterdir()):
            train = _lines(folder / "train.jsonl")
            data, updates = (options.out / of / task / folder.name for of in ("data", "updates"))
            _write(data / "train.jsonl", train[:count])
            _write(updates / "train.jsonl", train[count : 2 * count])
            for split in ("dev", "test"):
                _write(data / f"{split}.jsonl", _lines(folder / f"{split}.jsonl")[:HELD_OUT])
            print(f"{task}/{folder.name}: {min(count, len(train))} rows, "
                  f"{len(train[count:])} for updates")  # fmt: skip


def _fetch(name: str, folder: Path, languages: str, rows: int, source: str | None) -> None:
    program = "from langmerge.cli import main; main()"
    command = [
        sys.executable, "-c", program, "init", str(folder), "--recipe", name,
        "--languages", languages, "--rows", str(rows),
    ]  # fmt: skip
    subprocess.run([*command, *(["--source", source] if source else [])], check=True)


def _lines(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines(keepends=True)


def _write(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
