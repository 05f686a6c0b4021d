"""The paper's experiments beside the grid: an update, a language added, orthogonality.

    cd studies/paper
    python experiments.py update llama-3.1-8b/langmerge.yaml --task sentiment --language en
    python experiments.py add llama-3.1-8b/langmerge.yaml --task sentiment --language zh
    python experiments.py orthogonality llama-3.1-8b/langmerge.yaml --task sentiment

`update` and `add` write a project of the one task to a folder beside the given project's, and run
it twice: as it was, then with the new rows or the new language; `langmerge cost` bills both runs.
Killed and called again they go on; `--dry-run` only plans the run that is next.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from langmerge.errors import UserError
from langmerge.files import write_atomically
from langmerge.plan.graph import ANCESTOR, train_id
from langmerge.plan.lock import Lock
from langmerge.project import PROJECT_FILE, STORE_FOLDER, load_project
from langmerge.sharing import link_store, share
from langmerge.workspace import open_store


def main() -> None:
    """Do one of them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("experiment", choices=("update", "add", "orthogonality"))
    parser.add_argument("project", type=Path)
    parser.add_argument("--task", default="sentiment")
    parser.add_argument("--language", default="en")
    parser.add_argument("--seed", type=int, default=0, help="of the adapters that are compared")
    parser.add_argument("--dry-run", action="store_true", help="plan, and run nothing")
    options = parser.parse_args()
    source, task, language = options.project.resolve(), options.task, options.language
    try:
        project = load_project(source)
        for name, known in ((task, project.tasks), (language, project.languages)):
            if name not in known:
                sys.exit(f"{source}: has no '{name}', but {', '.join(known)}")
        if options.experiment == "orthogonality":
            _analyze(source, task, options.seed)
        elif options.experiment == "update":
            _update(source, task, language, options.dry_run)
        else:
            _add(source, task, language, options.dry_run)
    except UserError as error:
        sys.exit(str(error))


def _update(source: Path, task: str, language: str, dry_run: bool) -> None:
    """Give a language new rows, as many as it had; dev and test stay.

    The store is the source's, where what it has trained is found.
    """
    folder, content = _beside(source, "update", task, language)
    old, new = (folder.parent / of / task / language / "train.jsonl" for of in ("data", "updates"))
    if not new.exists() or not new.stat().st_size:
        sys.exit(f"{new}: no new rows; the set has no more, or prepare.py has not been run")
    data = {split: f"../data/{task}/{language}/{split}.jsonl" for split in ("dev", "test")}
    content["languages"] = {
        code: {"data": {task: {"train": "train.jsonl", **data}}} if code == language else {}
        for code in content["languages"]
    }
    store = source.parent / STORE_FOLDER
    write_atomically(folder / PROJECT_FILE, _text(content))
    link_store(store, folder / PROJECT_FILE)
    share(store, source)
    rows = (old.read_text("utf-8"), new.read_text("utf-8"))
    _run_twice(folder, folder / "train.jsonl", *rows, dry_run=dry_run)


def _add(source: Path, task: str, language: str, dry_run: bool) -> None:
    """Add a language to the others; the store is its own, so that all its training is timed."""
    folder, content = _beside(source, "add", task, language)
    others = [code for code in content["languages"] if code != language]
    before, after = _text({**content, "languages": others}), _text(content)
    _run_twice(folder, folder / PROJECT_FILE, before, after, dry_run=dry_run)


def _beside(source: Path, experiment: str, task: str, language: str) -> tuple[Path, dict[str, Any]]:
    """Return an experiment's folder, and the source's project file with the one task."""
    folder = source.parent.with_name(f"{source.parent.name}-{experiment}-{task}-{language}")
    folder.mkdir(exist_ok=True)
    content = yaml.safe_load(source.read_text("utf-8"))
    return folder, {**content, "tasks": {task: content["tasks"][task]}}


def _text(content: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True)


def _run_twice(folder: Path, changed: Path, before: str, after: str, *, dry_run: bool) -> None:
    """Run a project before and after one of its files changes, which it does after the first run.

    So the file tells a later call how far an earlier one came.
    """
    verb = ["plan"] if dry_run else ["run"]
    project = ["--project", str(folder / PROJECT_FILE)]
    if not changed.exists() or changed.read_text("utf-8") != after:
        write_atomically(changed, before)
        _langmerge(*verb, "--baselines", *project)
        if dry_run:
            return
        write_atomically(changed, after)
    _langmerge(*verb, "--baselines", *project)
    if not dry_run:
        _langmerge("cost", *project)


def _analyze(source: Path, task: str, seed: int) -> None:
    """Compare the languages' adapters as vectors: cosines, signs, subspaces."""
    project = load_project(source)
    store, made = open_store(project), Lock.load(project.folder).jobs

    def folder(language: str) -> Path:
        job = train_id(task, language, seed)
        if job not in made:
            sys.exit(f"{source}: {job} is not done yet; langmerge run --project {source}")
        return store.object(made[job]["output"])

    ancestor = ["--ancestor", str(folder(ANCESTOR))] if project.has_ancestor else []
    _langmerge("analyze", *ancestor, *(f"{code}={folder(code)}" for code in project.languages))


def _langmerge(*arguments: str) -> None:
    """Run the command line; end with its exit code if it fails, for it has said why."""
    program = "from langmerge.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", program, *arguments], check=False)
    if done.returncode:
        sys.exit(done.returncode)


if __name__ == "__main__":
    main()
