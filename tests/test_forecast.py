"""The forecast against measured steps, and its laws."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
from typer.testing import CliRunner

from langmerge.cli import app
from langmerge.errors import UserError
from langmerge.forecast import DEVICES, Workload, device_named, forecast, step_seconds

LLAMA_8B = {"parameters": 8.03e9, "layers": 32}
GEMMA_270M = {"parameters": 0.268e9, "layers": 18}


def work(model: dict[str, float], **more: float) -> Workload:
    return Workload(**{"languages": 5, "rows": 1000, "tokens": 64, **model, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("model", "tokens", "measured"),
    [
        (LLAMA_8B, 256, 0.240), (LLAMA_8B, 1024, 0.207), (LLAMA_8B, 2560, 0.258),
        (LLAMA_8B, 4096, 0.395), (LLAMA_8B, 5 * 128, 0.212), (LLAMA_8B, 5 * 512, 0.258),
        (LLAMA_8B, 5 * 1024, 0.445), (GEMMA_270M, 128, 0.138), (GEMMA_270M, 5 * 128, 0.159),
        (GEMMA_270M, 5 * 2048, 0.177),
    ],
)  # fmt: skip
def test_a_step_on_an_h100_is_forecast_within_a_third(
    model: dict[str, float], tokens: int, measured: float
) -> None:
    """Measured with a prototype on one H100 80 GB, bf16, eager; see docs/how-long.md."""
    assert step_seconds(work(model), DEVICES["h100"], tokens) == pytest.approx(measured, rel=0.34)


def test_short_rows_gain_by_grouping_and_long_rows_do_not() -> None:
    short = forecast(work(LLAMA_8B, tokens=16), DEVICES["h100"])
    long = forecast(work(LLAMA_8B, tokens=1024), DEVICES["h100"])

    assert short.sequential / short.grouped > 4
    assert long.sequential == pytest.approx(long.grouped)
    assert short.combined == short.sequential  # the same steps, one language or another
    assert short.combined_wide == short.grouped


def test_an_update_is_cheaper_the_more_languages_there_are() -> None:
    saved = [
        forecast(work(LLAMA_8B, tokens=1024, languages=count), DEVICES["h100"]).saved
        for count in (2, 5, 20, 50)
    ]
    assert saved == sorted(saved)
    assert saved[-1] > 0.9


def test_more_rows_never_take_less() -> None:
    few, many = (forecast(work(GEMMA_270M, rows=r), DEVICES["cpu"]) for r in (100, 1000))
    assert few.update < many.update
    assert few.merging == many.merging


def test_an_unknown_device_is_named() -> None:
    with pytest.raises(UserError, match="'h10': not measured; did you mean 'h100'"):
        device_named("h10")


def test_the_verb() -> None:
    options = ["forecast", "--languages", "3", "--price-per-hour", "2"]
    shown = CliRunner().invoke(app, options)
    assert shown.exit_code == 0
    assert "update of one language" in shown.output
    found = json.loads(CliRunner().invoke(app, [*options, "--json"]).output)
    assert found["seconds"]["update"] == pytest.approx(
        sum(
            found["seconds"][name] for name in ("loading", "one_language", "merging", "evaluating")
        ),
        abs=0.01,
    )


@pytest.mark.parametrize("device", list(DEVICES))
def test_the_calculator_of_the_docs_computes_the_same(device: str) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no Chromium to compute in")
    from playwright.sync_api import sync_playwright

    asked = work(LLAMA_8B, rows=777, tokens=91, answer_tokens=24)
    script = Path(__file__).parents[1] / "docs" / "how-long.js"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.add_script_tag(path=script)
        found = page.evaluate("([work, device]) => forecast(work, device)", [
            asdict(asked), asdict(DEVICES[device])
        ])  # fmt: skip
        browser.close()

    ours = forecast(asked, DEVICES[device])
    whole = {"initial", "initial_combined", "update"}
    assert found == pytest.approx({**asdict(ours), **{name: getattr(ours, name) for name in whole}})


def test_a_cpu_is_forecast_within_a_third_of_measured_trainings() -> None:
    """Five languages with Gemma 3 270M, `python benchmarks/training.py makespan`."""
    results = Path(__file__).parents[1] / "benchmarks" / "results" / "training.json"
    rows = json.loads(results.read_text(encoding="utf-8"))["rows"]
    measured = [
        (row["tokens"], row["rows"], row["device_seconds"])
        for row in rows
        if row["part"] == "makespan" and row["way"] == "sequential"
    ]
    assert measured
    for tokens, count, seconds in measured:
        asked = work(GEMMA_270M, rows=count, tokens=tokens / (5 * count), epochs=1)
        assert forecast(asked, DEVICES["cpu"]).sequential == pytest.approx(seconds, rel=0.34)
