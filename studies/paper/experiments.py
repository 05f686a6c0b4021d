"""The paper's experiments beside the grid: an update, a language added, orthogonality.

    python studies/paper/experiments.py update llama-3.1-8b.yaml --task sentiment --language en
    python studies/paper/experiments.py add llama-3.1-8b.yaml --language zh
    python studies/paper/experiments.py orthogonality llama-3.1-8b.yaml --task sentiment

`update` and `add` write project files beside the given one, which share its store: what is trained
there is not trained again. They then run them; `--dry-run` only shows the plan.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from langmerge.plan import plan
from langmerge.plan.graph import train_id
from langmerge.workspace import open_workspace


def main() -> None:
    """Do one of them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("experiment", choices=("update", "add", "orthogonality"))
    parser.add_argument("project", type=Path)
    parser.add_argument("--task", default="sentiment")
    parser.add_argument("--language", default="en")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dry-run", action="store_true", help="plan, and run nothing")
    options = parser.parse_args()
    if options.experiment == "orthogonality":
        _analyze(options.project, options.task, options.seed)
        return
    content = yaml.safe_load(options.project.read_text("utf-8"))
    changed = _updated if options.experiment == "update" else _without
    name = f"{options.project.stem}-{options.experiment}-{options.language}.yaml"
    path = options.project.with_name(name)
    changed(content, options.project.parent, options.task, options.language)
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    verb = ["plan"] if options.dry_run else ["run", "--baselines"]
    # Adding: first without the language, then with it; the bill shows what the second run cost.
    projects = [path, options.project] if options.experiment == "add" else [path]
    for project in projects:
        _langmerge(*verb, "--project", str(project))
    if not options.dry_run:
        _langmerge("cost", "--project", str(projects[-1]))


def _updated(content: dict[str, Any], folder: Path, task: str, language: str) -> None:
    """Give a language new rows, as many as it had; dev and test stay."""
    new = folder / "updates" / task / language / "train.jsonl"
    if not new.exists() or not new.stat().st_size:
        sys.exit(f"{new}: no new rows; the set has no more, or prepare.py has not been run")
    data = f"data-updated-{task}-{language}/{task}/{language}"
    (folder / data).mkdir(parents=True, exist_ok=True)
    shutil.copy(new, folder / data / "train.jsonl")
    for split in ("dev", "test"):
        shutil.copy(folder / "data" / task / language / f"{split}.jsonl", folder / data)
    content["languages"] = {
        code: {"data": {task: f"{data}/{{split}}.jsonl"}} if code == language else {}
        for code in content["languages"]
    }
    content["tasks"] = {task: content["tasks"][task]}


def _without(content: dict[str, Any], folder: Path, task: str, language: str) -> None:
    """Leave out a language, which the project itself then adds."""
    content["languages"] = [code for code in content["languages"] if code != language]


def _analyze(path: Path, task: str, seed: int) -> None:
    """Compare the languages' adapters as vectors: cosines, signs, subspaces."""
    workspace = open_workspace(path)
    made = {d.job.id: d.result for d in plan(workspace.planner()) if d.result is not None}
    folders = []
    for language in workspace.project.languages:
        if (result := made.get(train_id(task, language, seed))) is None:
            sys.exit(
                f"{path}: {task}/{language} is not trained yet; langmerge run --project {path}"
            )
        folders.append(f"{language}={workspace.store.object(result.output)}")
    _langmerge("analyze", *folders)


def _langmerge(*arguments: str) -> None:
    program = "from langmerge.cli import main; main()"
    subprocess.run([sys.executable, "-c", program, *arguments], check=True)


if __name__ == "__main__":
    main()
