"""`training.json` beside a trained adapter: its losses, and which rows it knows."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

_FILE = "training.json"


def write_record(folder: Path, losses: Sequence[float], rows: Collection[str]) -> None:
    """Write the record.

    Args:
        folder: the adapter's.
        losses: of every step, in nats per supervised token.
        rows: digests (`row_digest`) of all rows it was trained on, and its ancestors were.
    """
    record = {"losses": [round(loss, 6) for loss in losses], "rows": sorted(rows)}
    (folder / _FILE).write_text(json.dumps(record) + "\n", encoding="utf-8")


def known_rows(folder: Path) -> frozenset[str]:
    """Return the digests of the rows an adapter was trained on; empty where none are recorded."""
    return frozenset(_record(folder).get("rows", ()))


def losses_of(folder: Path) -> tuple[float, ...]:
    """Return the loss of every step of an adapter's training; empty where none are recorded."""
    return tuple(_record(folder).get("losses", ()))


def _record(folder: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads((folder / _FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return record
