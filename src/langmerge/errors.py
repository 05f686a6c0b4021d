"""Every error langmerge raises on purpose, as one tree.

```
LangmergeError              exit code 1
├── UserError               exit code 2   the user can mend it: one message, no traceback
│   ├── ProjectError        langmerge.yaml or its paths
│   ├── DataError           a data file, row or field
│   ├── BaseModelError      the base model or its tokenizer
│   ├── AdapterError        an adapter's files or contents
│   ├── MergeError          a recipe, or adapters that do not merge
│   ├── StorageError        disk full, read-only folder, store in use
│   └── MissingExtraError   an optional dependency is not installed
├── GateRefused             exit code 3   a release gate said no
└── JobsFailed              exit code 4   some jobs failed, the others are done
```

A message is one line: where (file, row, key), what was found, what was expected, and the fix.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LangmergeError(Exception):
    """Base of all errors raised on purpose; `exit_code` is the process's exit status."""

    exit_code = 1


class UserError(LangmergeError):
    """A mistake the user can mend."""

    exit_code = 2


class ProjectError(UserError):
    """The project file, or a path or name in it, is wrong."""


class DataError(UserError):
    """A data file, row or field is wrong."""


class BaseModelError(UserError):
    """The base model or its tokenizer is missing or unfit."""


class AdapterError(UserError):
    """An adapter's configuration or tensors are missing or unfit."""


class MergeError(UserError):
    """A merge recipe is wrong, or the adapters do not merge."""


class StorageError(UserError):
    """The store cannot be read or written."""


class MissingExtraError(UserError):
    """An optional dependency is needed and not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package '{package}', which is not installed: "
            f"pip install 'langmerge[{extra}]'"
        )


class GateRefused(LangmergeError):  # noqa: N818 - an outcome, not a fault
    """A release gate refused the candidate."""

    exit_code = 3


class JobsFailed(LangmergeError):  # noqa: N818 - an outcome, not a fault
    """Some jobs of a run failed; the others are finished and kept."""

    exit_code = 4


FATAL = (StorageError, BaseModelError)
"""What stops a whole run: nothing more can be kept, or nothing can be computed."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the known name nearest to `name`, or an empty string."""
    nearest = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{nearest[0]}'?" if nearest else ""
