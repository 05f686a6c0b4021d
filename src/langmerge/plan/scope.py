"""Which jobs of a plan are wanted now; the others keep what they made last."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from langmerge.errors import UserError, did_you_mean
from langmerge.plan.graph import Job
from langmerge.project import Project

Step = Literal["train", "merge", "evaluate"]


@dataclass(frozen=True)
class Scope:
    """The languages and the kinds of jobs that may run; None for all of them.

    A job of no language, such as a merge, is not held back by `languages`; data are read whatever
    `steps` says, for nothing runs without them.
    """

    languages: frozenset[str] | None = None
    steps: frozenset[Step] | None = None

    @classmethod
    def of(cls, project: Project, languages: Iterable[str], steps: Iterable[str]) -> Scope:
        """Return a checked scope; no languages, or no steps, means all.

        Raises:
            UserError: for a language the project has not, or a step that is none.
        """
        languages, steps = frozenset(languages), frozenset(steps)
        for option, given, known in (
            ("--target-language", languages, tuple(project.languages)),
            ("--only", steps, get_args(Step)),
        ):
            for name in sorted(given - set(known)):
                raise UserError(
                    f"{option} {name}: not known{did_you_mean(name, known)} "
                    f"(there are {', '.join(known)})"
                )
        return cls(languages or None, steps or None)  # type: ignore[arg-type]

    def leaves_out(self, job: Job) -> str | None:
        """Return the option that keeps a job from running; None where it may run."""
        of_other_language = self.languages is not None and job.language not in (
            None,
            *self.languages,
        )
        # What a model is evaluated on may be any language; what it is made of is held back.
        if of_other_language and job.kind in ("data", "train"):
            return "--target-language"
        if self.steps is not None and job.kind != "data" and job.kind not in self.steps:
            return "--only"
        return None


EVERYTHING = Scope()
