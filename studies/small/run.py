"""Run the study in parts; call it again until it says that all is done.

    python studies/small/run.py --form gpu --data PACKS
    python studies/small/run.py --form cpu --data PACKS --minutes 8
    python studies/small/run.py --form cpu --data PACKS --part main --tasks sentiment topic

Every call works for at most `--minutes`, keeps what it has, and exits with 3 if there is more to
do (4 if something failed). Trainings are langmerge's own (`langmerge run --only train`, stopped at
the time limit and resumed exactly); models are merged and asked in memory, and every answer goes
to `--raw` at once. `make.py` makes the tables of docs/findings.md from there.
"""

from __future__ import annotations

import argparse
import dataclasses
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import Bench, MissingResultError, OutOfTimeError
from forms import FORMS, METRICS, Form
from parts import PARTS
from parts.steps import Part
from setups import Study

HERE = Path(__file__).parent
MORE_TO_DO, FAILED = 3, 4


def main() -> None:
    """Work on the parts in turn, as long as there is time."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--form", choices=FORMS, required=True)
    parser.add_argument("--data", type=Path, required=True, help="packs: TASK/LANG/SPLIT.jsonl")
    parser.add_argument("--base", type=Path, help="a checkpoint; Gemma 3 270M by default")
    parser.add_argument("--work", type=Path, help="projects and their store; default study-FORM")
    parser.add_argument("--raw", type=Path, help="raw results; default studies/small/raw/FORM")
    parser.add_argument("--minutes", type=float, default=8.0, help="of this call")
    parser.add_argument("--part", choices=PARTS, action="append", help="these parts only")
    parser.add_argument("--tasks", choices=METRICS, nargs="+", help="these tasks only")
    options = parser.parse_args()
    study = Study(
        form_name=options.form,
        form=_restricted(FORMS[options.form], options.tasks),
        packs=options.data,
        base=options.base or _gemma(),
        work=(options.work or Path(f"study-{options.form}")).resolve(),
        raw=options.raw or HERE / "raw" / options.form,
    )
    study.work.mkdir(parents=True, exist_ok=True)
    names = options.part or list(PARTS)
    clock = Clock(options.minutes * 60)
    try:
        clock.work(study, [PARTS[name] for name in names])
    except OutOfTimeError:
        print("time is over; call again to go on")
        sys.exit(MORE_TO_DO)
    if clock.problems:
        print(f"{clock.problems} steps could not be done; all others are")
        sys.exit(FAILED)
    print(f"{', '.join(names)}: done")


class Clock:
    """The time that a call may take, and how many steps failed in it."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self.problems = 0

    def left(self) -> float:
        """Return the seconds that are left."""
        return self._end - time.monotonic()

    def is_over(self) -> bool:
        """Whether there is no time left."""
        return self.left() <= 0

    def work(self, study: Study, parts: list[Part]) -> None:
        """Go through the parts, training what each needs before it is measured.

        Raises:
            OutOfTimeError: if there is more to do.
        """
        bench = Bench(study, self.is_over)
        for part in parts:
            for name, step in part(study, bench):
                self._do(name, step)

    def _do(self, name: str, step: Callable[[], Iterator[list[str]]]) -> None:
        """Carry out a step; it yields commands, which run as long as there is time."""
        print(f"[{max(self.left(), 0):.0f} s left] {name}", flush=True)
        try:
            for command in step():
                self._run(command)
        except MissingResultError as missing:
            self._fail(f"left out, a result is missing: {missing}")

    def _run(self, command: list[str]) -> None:
        if self.is_over():
            raise OutOfTimeError
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            code = process.wait(timeout=self.left())
        except subprocess.TimeoutExpired:
            process.terminate()
            process.wait()
            raise OutOfTimeError from None
        if code:
            self._fail(f"exit code {code}: {' '.join(command)}")

    def _fail(self, problem: str) -> None:
        self.problems += 1
        print(f"  {problem}", flush=True)


def _restricted(form: Form, tasks: list[str] | None) -> Form:
    """Return the form with some of its tasks only, in its own order."""
    if tasks is None:
        return form
    if missing := sorted(set(tasks) - set(form.tasks)):
        raise SystemExit(f"--tasks: the form has no {missing[0]}; it has {', '.join(form.tasks)}")
    return dataclasses.replace(form, tasks=tuple(task for task in form.tasks if task in tasks))


def _gemma() -> Path:
    from langmerge.quickstart.gemma import prepare_gemma

    return prepare_gemma()


if __name__ == "__main__":
    main()
