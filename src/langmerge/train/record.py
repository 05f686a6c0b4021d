"""`training.json` beside a trained adapter: its losses, and which rows it knows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

_FILE = "training.json"
_DIGITS = 6


class DevLoss(NamedTuple):
    """The mean loss on the dev examples, in nats per supervised token, after `step` steps."""

    step: int
    loss: float


@dataclass(frozen=True)
class TrainingRecord:
    """What is kept of a training.

    Attributes:
        losses: of every step, in nats per supervised token.
        dev_losses: where they were measured.
        rows: digests (`row_digest`) of all rows it was trained on, and its ancestors were.
    """

    losses: tuple[float, ...] = ()
    dev_losses: tuple[DevLoss, ...] = ()
    rows: frozenset[str] = frozenset()


def write_record(folder: Path, record: TrainingRecord) -> None:
    """Write the record of a training into its adapter's folder."""
    content = {
        "losses": [round(loss, _DIGITS) for loss in record.losses],
        "dev_losses": [[dev.step, round(dev.loss, _DIGITS)] for dev in record.dev_losses],
        "rows": sorted(record.rows),
    }
    if not record.dev_losses:  # adapters trained without dev stay the same bytes
        del content["dev_losses"]
    (folder / _FILE).write_text(json.dumps(content) + "\n", encoding="utf-8")


def read_record(folder: Path) -> TrainingRecord:
    """Return the record of an adapter's training; an empty one where there is none."""
    try:
        content = json.loads((folder / _FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return TrainingRecord()
    return TrainingRecord(
        tuple(content.get("losses", ())),
        tuple(DevLoss(*each) for each in content.get("dev_losses", ())),
        frozenset(content.get("rows", ())),
    )
