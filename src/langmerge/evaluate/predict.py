"""A model's answers to rows: candidates scored, or text generated."""

from __future__ import annotations

from collections.abc import Sequence

from langmerge.data import Row
from langmerge.evaluate.engines import Engine, TransformersEngine
from langmerge.evaluate.generation import GeneratedText
from langmerge.examples import Presenter
from langmerge.model import BaseModel
from langmerge.tasks import Prediction, Task


def predict_rows(
    base: BaseModel, presenter: Presenter, rows: Sequence[Row], batch_tokens: int
) -> tuple[list[Prediction], int]:
    """Return the model's prediction for every row, in order, and the tokens it took.

    Args:
        base: the model, with whatever adapter is folded into it.
        presenter: how rows are put before the model.
        rows: the rows of one task and language.
        batch_tokens: tokens in one forward pass at most.
    """
    return predict_with(TransformersEngine(base, batch_tokens), presenter, rows)


def predict_with(
    engine: Engine, presenter: Presenter, rows: Sequence[Row]
) -> tuple[list[Prediction], int]:
    """Return an engine's prediction for every row, as `predict_rows`."""
    task = presenter.task
    presented = [presenter.scoring(row) for row in rows]
    prompts = [prompt for prompt, _ in presented]
    tokens = sum(map(len, prompts))
    if (writing := task.writing()) is not None:
        texts = engine.generate(
            prompts,
            writing.max_new_tokens,
            stop_ids=presenter.encoder.stop_ids,
            stop_at_newline=writing.stop_at_newline,
        )
        found = [written(task, row, text) for row, text in zip(rows, texts, strict=True)]
        return found, tokens + sum(text.tokens for text in texts)
    choices = [candidates for _, candidates in presented]
    scores = engine.log_likelihoods(prompts, choices)
    found = [scored(task, row, of_row) for row, of_row in zip(rows, scores, strict=True)]
    return found, tokens + sum(len(choice) for of_row in choices for choice in of_row)


def written(task: Task, row: Row, generated: GeneratedText) -> Prediction:
    """Return the prediction of a row whose answer the model wrote."""
    candidates = task.candidates(row)
    return Prediction(
        id=row.id,
        group=row.group,
        target=row.target,
        source=source(row),
        answer=_answer(row, candidates) if candidates else None,
        candidates=tuple(candidates),
        text=generated.text,
        truncated=generated.truncated,
    )


def scored(task: Task, row: Row, scores: Sequence[float]) -> Prediction:
    """Return the prediction of a row whose candidates were scored, in nats."""
    candidates = task.candidates(row)
    return Prediction(
        id=row.id,
        group=row.group,
        target=row.target,
        source=source(row),
        answer=_answer(row, candidates),
        candidates=tuple(candidates),
        scores=tuple(round(score, 6) for score in scores),
    )


def _answer(row: Row, candidates: Sequence[str]) -> int:
    return candidates.index(row.target) if row.answer is None else row.answer


def source(row: Row) -> str:
    """Return the text an answer could have been copied from."""
    parts = [*row.fields.values(), *(content for _, content in row.messages)]
    return "\n".join(parts)
