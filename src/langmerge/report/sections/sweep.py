"""Curves of a sweep on dev: every method over its densities, as the last sweep measured them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from langmerge.merging.schema import check_recipe
from langmerge.report.content import Report
from langmerge.report.document import Estimate, Figure
from langmerge.report.figures.density import curve
from langmerge.sweep.record import Row


def curves(report: Report, task: str) -> Iterator[Figure]:
    """Yield a curve for every method that the last sweep tried at several densities.

    Only of a sweep of this task alone, by the mean: other sweeps' values are of something else.
    """
    sweep = report.sweep
    if sweep is None or list(sweep.metrics) != [task] or sweep.objective != "mean":
        return
    found: dict[str, dict[float, Row]] = defaultdict(dict)
    for row in sweep.rows:
        if row.interval is not None and row.recipe.keys() <= {"method", "density"}:
            recipe = check_recipe(row.recipe["method"], {"density": row.recipe.get("density")})
            if "density" in recipe.parameters:
                found[recipe.method][recipe.parameters["density"]] = row
    current = _estimate(sweep.rows[0])
    for method, by_density in sorted(found.items()):
        if len(by_density) > 1:
            points = {density: (row.label, _estimate(row)) for density, row in by_density.items()}
            yield curve(
                f"density-dev-{task}-{method}",
                f"{task}: {method} on dev",
                points,
                {sweep.rows[0].name or sweep.current: current},
                subject=report.subject,
            )


def _estimate(row: Row) -> Estimate:
    if row.interval is None:
        return Estimate(row.value)
    return Estimate(row.interval.value, row.interval.low, row.interval.high)
