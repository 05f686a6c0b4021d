"""A model's answers to rows: candidates scored, or text generated."""

from __future__ import annotations

from collections.abc import Sequence

from langmerge.data import Row
from langmerge.evaluate.generation import generate
from langmerge.evaluate.likelihood import choice_log_likelihoods
from langmerge.examples import Presenter
from langmerge.model import BaseModel
from langmerge.tasks import Generation, Prediction

def predict_rows(
    base: BaseModel,
    presenter: Presenter,
    rows: Sequence[Row],
    batch_tokens: int,
) -> tuple[list[Prediction], int]:
    """Return the model's prediction for every row, in order, and the tokens it read.

    Args:
        base: the model, with whatever adapter is folded into it.
        presenter: how rows are put before the model.
        rows: the rows of one task and language.
        batch_tokens: tokens in one forward pass at most.
    """
    presented = [presenter.scoring(row) for row in rows]
    prompts = [prompt for prompt, _ in presented]
    candidates = [choices for _, choices in presented]
    tokens = sum(map(len, prompts)) + sum(len(c) for choices in candidates for c in choices)
    task = presenter.task
    if isinstance(task, Generation):
        texts = generate(
            base,
            prompts,
            max_new_tokens=task.max_new_tokens,
            stop_ids=presenter.encoder.stop_ids,
            stop_at_newline=task.stop_at_newline,
            batch_tokens=batch_tokens,
        )
        tokens += sum(generated.tokens for generated in texts)
        answers = [
            {"text": generated.text, "truncated": generated.truncated} for generated in texts
        ]
    else:
        scored = choice_log_likelihoods(base, prompts, candidates, batch_tokens=batch_tokens)
        answers = [
            {
                "scores": tuple(round(score, 6) for score in scores),
                "candidates": task.candidates(row),
                "answer": task.candidates(row).index(row.target),
            }
            for row, scores in zip(rows, scored, strict=True)
        ]
    predictions = [
        Prediction(row.id, row.group, row.target, _source(row), **answer)
        for row, answer in zip(rows, answers, strict=True)
    ]
    return predictions, tokens


def _source(row: Row) -> str:
    """Return the text an answer could have been copied from."""
    parts = [*row.fields.values(), *(content for _, content in row.messages)]
    return "\n".join(parts)
