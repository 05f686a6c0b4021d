"""4. Training: how the losses fell."""

from __future__ import annotations

from collections.abc import Iterator

from langmerge.report.content import Report
from langmerge.report.document import Block, Figures, Paragraph, Quantity, Section, Table
from langmerge.report.figures.losses import losses
from langmerge.train.record import TrainingRecord


def build(report: Report) -> Section:
    """Return the section."""
    return Section("training", "Training", tuple(_blocks(report)))


def _blocks(report: Report) -> Iterator[Block]:
    found = {task: of for task, of in report.trainings.items() if of}
    if not found:
        yield Paragraph("The store holds no record of a training.")
        return
    yield Figures(
        "Loss over the steps",
        "Mean over a step's supervised tokens, in nats, with the first seed; lines are smoothed "
        "over a fortieth of the training. Rings are the loss on dev, where train.eval_steps asked "
        "for it.",
        tuple(losses(f"losses-{task}", task, of) for task, of in found.items()),
    )
    for task, of in found.items():
        yield Table(
            name=f"training-{task}",
            title=f"Trainings of {task}",
            header=("adapter", "steps", "first loss", "last loss", "lowest on dev", "after step"),
            rows=tuple((who, *_numbers(record)) for who, record in of.items()),
            notes=("First and last: means of a tenth of the steps.",),
            folded=True,
        )


def _numbers(record: TrainingRecord) -> tuple[Quantity, ...]:
    steps = len(record.losses)
    tenth = -(-steps // 10)
    ends = [sum(of) / len(of) for of in (record.losses[:tenth], record.losses[-tenth:])]
    best = min(record.dev_losses, key=lambda dev: dev.loss, default=None)
    return (
        Quantity(steps, f"{steps:,}"),
        *(Quantity(end, f"{end:.3f}") for end in ends),
        Quantity(best and best.loss, "–" if best is None else f"{best.loss:.3f}"),
        Quantity(best and best.step, "–" if best is None else f"{best.step:,}"),
    )
