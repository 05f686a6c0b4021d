"""How the losses fell: the figure and its table, from what is kept beside the adapters."""

import pytest

from langmerge.report import Report
from langmerge.report.document import Figures, Quantity, Table
from langmerge.report.drawing import Line, Marker
from langmerge.report.figures.losses import losses
from langmerge.report.sections.training import build
from langmerge.train.record import DevLoss, TrainingRecord, read_record, write_record


def test_a_record_is_read_as_it_was_written(tmp_path) -> None:
    record = TrainingRecord((2.0, 1.5), (DevLoss(2, 1.75),), frozenset({"a", "b"}))
    write_record(tmp_path, record)
    assert read_record(tmp_path) == record
    assert read_record(tmp_path / "nowhere") == TrainingRecord()


def test_lines_are_smoothed_and_dev_losses_are_rings() -> None:
    falling = TrainingRecord(tuple(1 - step / 100 for step in range(100)), (DevLoss(50, 0.7),))
    drawing = losses("f", "topic", {"de": falling, "combined": TrainingRecord((1.0, 0.5))})

    lines = [item for item in drawing.drawing.items if isinstance(item, Line) and item.width == 1.5]
    rings = [item for item in drawing.drawing.items if isinstance(item, Marker)]
    assert [len(line.points) for line in lines] == [34, 2]  # 100 steps by threes
    assert [line.style for line in lines] == ["individual", "combined"]
    xs = [x for x, _ in lines[0].points]
    assert xs == sorted(xs)
    assert len(rings) == 1
    assert "lowest on dev 0.700 after step 50" in drawing.description


def test_the_section_shows_every_training(report: Report) -> None:
    section = build(report)
    (figures,) = (block for block in section.blocks if isinstance(block, Figures))
    assert [figure.name for figure in figures.figures] == [
        "losses-classification", "losses-generation"
    ]  # fmt: skip
    table = next(block for block in section.blocks if isinstance(block, Table))
    assert [row[0] for row in table.rows] == ["de", "ar", "combined"]
    steps = table.rows[0][1]
    assert isinstance(steps, Quantity)
    assert steps.value == 4  # eight rows, two at a time, once
    assert table.rows[0][2].value == pytest.approx(
        report.trainings["classification"]["de"].losses[0]
    )
