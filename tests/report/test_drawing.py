"""Scales, places and figures as pure values."""

import re
from datetime import datetime, timezone
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from langmerge.report.document import Estimate, Figure
from langmerge.report.drawing import (
    WIDTH,
    Box,
    Drawing,
    Line,
    Marker,
    Scale,
    Text,
    apart,
    round_step,
    shortened,
    text_width,
    tick_text,
)
from langmerge.report.figures.cost import Priced, front
from langmerge.report.figures.density import curve
from langmerge.report.figures.intervals import panels
from langmerge.report.figures.upkeep import timeline
from langmerge.report.svg import svg
from langmerge.upkeep.bill import Cost, RunBill

numbers = st.floats(-1e6, 1e6)
unhurried = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)


@unhurried
@given(st.lists(numbers, max_size=6), st.booleans())
def test_a_scale_holds_its_values(values: list[float], zero: bool) -> None:
    scale = Scale.around(values, 10.0, 110.0, zero=zero)
    for value in [*values, *([0.0] if zero else [])]:
        assert 10.0 - 1e-6 <= scale(value) <= 110.0 + 1e-6
    assert scale.ticks[0] == scale.low
    assert scale.ticks[-1] == scale.high
    assert 2 <= len(scale.ticks) <= 8


def test_a_scale_can_run_backwards() -> None:
    scale = Scale.around([0.0, 100.0], 200.0, 0.0)
    assert (scale(0.0), scale(100.0), scale(25.0)) == (200.0, 0.0, 150.0)


@pytest.mark.parametrize(("least", "step"), [(0.3, 0.5), (1, 1), (2.1, 5), (7, 10), (0.02, 0.02)])
def test_steps_are_round(least: float, step: float) -> None:
    assert round_step(least) == pytest.approx(step)


def test_ticks_have_the_decimals_they_need() -> None:
    assert tick_text(0.5, [0, 0.5]) == "0.5"
    assert tick_text(20.0, [0, 20]) == "20"
    assert tick_text(-5.0, [-5, 0]) == "−5"
    assert tick_text(-0.0, [-5, 0]) == "0"


@unhurried
@given(st.lists(st.floats(0, 100), min_size=1, max_size=8))
def test_names_stand_apart(places: list[float]) -> None:
    moved = apart(places, 10.0, 0.0, 100.0)
    in_order = [moved[i] for i in sorted(range(len(places)), key=places.__getitem__)]
    assert all(b - a >= 10 - 1e-9 for a, b in pairwise(in_order))
    assert all(-1e-9 <= place <= 100 + 1e-9 for place in moved)


def test_long_names_are_cut() -> None:
    cut = shortened("merged:a-very-long-name-of-a-recipe", 100)
    assert cut.endswith("…")
    assert text_width([cut]) <= 100
    assert shortened("short", 100) == "short"
    assert text_width(["日本"]) > text_width(["ab"])


def test_svg_is_well_formed_and_escaped() -> None:
    hostile = '</svg><script>alert("x")</script>'
    drawing = Drawing(
        100, 50,
        (
            Line(((0, 0), (10, 10)), "grid", dashed=True),
            Box(0, 0, 5, 5, "merged", 0.5, hostile),
            *(
                Marker(5, 5, shape, "base", hostile)
                for shape in ("circle", "ring", "square", "diamond", "triangle", "down")
            ),
            Text(0, 0, hostile, bold=True),
        ),
    )  # fmt: skip
    found = ElementTree.fromstring(svg(Figure("name", hostile, hostile, drawing)))

    assert found.get("role") == "img"
    assert "".join(found.find("desc").itertext()) == hostile  # type: ignore[union-attr]
    assert not list(found.iter("script"))
    labels = (found.get("aria-labelledby") or "").split()
    assert labels == [each.get("id") for each in found if each.tag in ("title", "desc")]


def test_panels_share_a_scale_and_name_what_is_missing() -> None:
    columns = {
        "de": {"base": Estimate(20.0, 10.0, 30.0), "merged:ties": Estimate(60.0, 50.0, 70.0)},
        "ja": {"merged:ties": Estimate(90.0)},
    }
    found = panels("topic", columns, ["base", "merged:ties"], "merged:ties", "macro-F1")

    assert [figure.name for figure in found] == ["topic-de", "topic-ja"]
    assert found[0].description == "base 20.0 (10.0–30.0); merged:ties 60.0 (50.0–70.0)."
    muted = [
        [(i.x, i.text) for i in figure.drawing.items if isinstance(i, Text) and i.style == "muted"]
        for figure in found
    ]
    assert muted[0] == muted[1]
    texts = [item.text for item in found[1].drawing.items if isinstance(item, Text)]
    assert "–" in texts  # the base has no result
    for figure in found:
        for item in figure.drawing.items:
            if isinstance(item, Text | Marker):
                assert 0 <= item.x <= WIDTH


def test_the_front_is_what_none_beats() -> None:
    models = {
        "base": Priced(Estimate(20.0), 0.0),
        "individual": Priced(Estimate(50.0), 10.0),
        "dear": Priced(Estimate(45.0), 20.0),
        "combined": Priced(Estimate(60.0), 30.0),
        "same-price": Priced(Estimate(55.0), 30.0),
        "unknown": Priced(Estimate(None), 1.0),
    }
    assert front(models) == ["base", "individual", "combined"]


def test_a_density_curve_runs_by_density() -> None:
    points = {1.0: ("merged:a", Estimate(60.0, 50.0, 70.0)), 0.2: ("merged:b", Estimate(40.0))}
    found = curve("d", "topic: ties", points, {"combined": Estimate(65.0)}, subject="merged:a")

    path = next(i for i in found.drawing.items if isinstance(i, Line) and i.style == "merged")
    assert [x for x, _ in path.points] == sorted(x for x, _ in path.points)
    assert found.description.startswith("density 0.2: 40.0")
    shapes = {i.title.split(",")[0]: i.shape for i in found.drawing.items if isinstance(i, Marker)}
    assert shapes == {"merged:a": "circle", "merged:b": "ring"}


def test_the_timeline_adds_up() -> None:
    def cost(seconds: float) -> Cost:
        return Cost(
            attempts=1, device_seconds=seconds, tokens=0, padded_tokens=0, supervised_tokens=0
        )

    run = RunBill(
        run="r", started=datetime(2026, 11, 24, tzinfo=timezone.utc), kind="update", trained=[],
        makespan_seconds=70, device_seconds=60, price=None,
        by_kind={"data": cost(0), "train": cost(30), "merge": cost(5), "evaluate": cost(15)},
        baseline=cost(10), failed=cost(0), problems=[], devices=[], peak_memory_bytes=None,
        energy_joules=None, saving=None,
    )  # fmt: skip
    found = timeline([run])
    boxes = [i for i in found.drawing.items if isinstance(i, Box) and i.title]

    assert [re.sub(":.*", "", box.title) for box in boxes] == [
        "train",
        "merge",
        "evaluate",
        "combined",
    ]
    assert boxes[0].width == pytest.approx(2 * boxes[2].width)
    for before, after in pairwise(boxes):
        assert after.x == pytest.approx(before.x + before.width)
    assert "60.0 s" in found.description
