"""lm-evaluation-harness on a model in memory, with whatever adapter is folded into it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langmerge.errors import DataError, MissingExtraError, did_you_mean
from langmerge.harness.results import HarnessResults, from_harness

if TYPE_CHECKING:
    from langmerge.model import BaseModel


@dataclass(frozen=True)
class HarnessTasks:
    """Tasks that the harness knows.

    Attributes:
        names: of tasks, groups or tags.
        manager: the harness's own list of them.
    """

    names: tuple[str, ...]
    manager: Any


def find_tasks(names: Sequence[str], folders: Sequence[Path] = ()) -> HarnessTasks:
    """Find tasks by name; no model and no data is loaded.

    Args:
        names: as `lm_eval --tasks` takes them.
        folders: folders with tasks in YAML, besides the harness's own. A task may name Python
            functions beside it, which the harness runs: give only folders you trust.

    Raises:
        MissingExtraError: if lm-eval is not installed.
        DataError: if a folder is missing or the harness has no such task.
    """
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"--include {folder}: no such folder; name one with tasks in YAML")
    try:
        from lm_eval.tasks import TaskManager
    except ImportError as error:
        raise MissingExtraError("lm-eval", "lm-eval", "--harness") from error
    places = [str(folder) for folder in folders]
    with _quiet():
        manager = TaskManager(include_path=places or None, include_defaults=not places)
        # The harness's own list takes seconds to read.
        if places and not set(names) <= set(manager.all_tasks):
            manager = TaskManager(include_path=places)
    known = manager.all_tasks
    for name in names:
        if name not in known:
            raise DataError(
                f"--harness {name}: the harness has no such task{did_you_mean(name, known)}"
                " (`lm-eval ls tasks` lists them; --include FOLDER adds your own)"
            )
    return HarnessTasks(tuple(names), manager)


def run_tasks(
    base: BaseModel,
    tasks: HarnessTasks,
    *,
    model: str,
    batch_rows: int = 8,
    shots: int | None = None,
    limit: int | None = None,
) -> HarnessResults:
    """Run the harness's tasks on a model.

    Args:
        base: the model.
        tasks: what `find_tasks` found.
        model: what tables call the model.
        batch_rows: sequences computed together.
        shots: examples in every prompt; the task's own number by default.
        limit: at most so many rows of each task; all by default.

    Raises:
        DataError: if a task's data cannot be loaded or the task is malformed.
    """
    import lm_eval
    from lm_eval.models.huggingface import HFLM

    with _quiet():
        wrapped = HFLM(pretrained=base.model, tokenizer=base.tokenizer, batch_size=batch_rows)
        try:
            found = lm_eval.simple_evaluate(
                wrapped,
                tasks=list(tasks.names),
                task_manager=tasks.manager,
                num_fewshot=shots,
                limit=limit,
                log_samples=False,
                # Intervals of every metric; of most the harness has a formula and draws nothing.
                bootstrap_iters=100,
            )
        # What a task's YAML, its data and its functions can raise is not limited.
        except Exception as error:
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            raise DataError(
                f"--harness {','.join(tasks.names)}: the harness stopped ({reason}); "
                "check the task's YAML, its data and the network"
            ) from error
    content = {"lm_eval_version": version("lm_eval"), **(found or {})}
    return from_harness(content, "lm-eval", model)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the harness's advice off the screen; errors stay."""
    logger = logging.getLogger("lm_eval")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
