"""A comparison as HTML; everything that is not ours is escaped."""

from __future__ import annotations

from markupsafe import Markup

from langmerge.durations import time_text
from langmerge.merging import Recipe
from langmerge.serve.comparing import MERGED, Cell, Comparison

_QUICK_SECONDS = 0.05
_SHOWN_SHARES = 6


def to_html(found: Comparison) -> str:
    """Return a table: a row for each language, a column for each model."""
    head = Markup("").join(
        Markup('<th scope="col">{}</th>').format(_title(model)) for model in found.models
    )
    body = Markup("").join(_row(found, language) for language in found.question.languages)
    return str(
        Markup(
            '<div class="lm-answers"><p class="lm-about"><b>{}</b> {}</p>'
            '<table><thead><tr><th scope="col">Language</th>{}</tr></thead>'
            "<tbody>{}</tbody></table></div>"
        ).format(describe(found.recipe), _times(found), head, body)
    )


def problem_html(problem: str) -> str:
    """Return a problem as a paragraph."""
    return str(Markup('<p class="lm-problem" role="alert">{}</p>').format(problem))


def describe(recipe: Recipe) -> str:
    """Return a recipe as a line: its method, and the parameters people turn."""
    turned = [
        f"{name.rstrip('_')} {recipe.parameters[name]:g}"
        for name in ("density", "lambda_")
        if name in recipe.parameters
    ]
    return ", ".join([recipe.method, *turned])


def _title(model: str) -> str:
    return model.capitalize()


def _times(found: Comparison) -> str:
    merged = found.merge_seconds
    merging = "merge at hand" if merged < _QUICK_SECONDS else f"merged in {time_text(merged)}"
    return f"{merging}; answered in {time_text(found.seconds - merged)}"


def _row(found: Comparison, language: str) -> Markup:
    cells = Markup("").join(_cell(model, found.cells[language, model]) for model in found.models)
    return Markup('<tr><th scope="row">{}</th>{}</tr>').format(language, cells)


def _cell(model: str, cell: Cell) -> Markup:
    name = "lm-merged" if model == MERGED else "lm-other"
    stale = Markup("<small>trained on older data</small>") if cell.stale else ""
    return Markup('<td class="{}" data-model="{}">{}{}</td>').format(
        name, _title(model), _said(cell), stale
    )


def _said(cell: Cell) -> Markup:
    if cell.answer is None:
        return Markup('<span class="lm-problem">{}</span>').format(cell.problem or "")
    shares = sorted(cell.answer.probabilities.items(), key=lambda item: -item[1])
    bars = Markup("").join(_bar(name, share) for name, share in shares[:_SHOWN_SHARES])
    # Text runs from right to left where its letters do.
    answer = Markup('<span class="lm-answer" dir="auto">{}</span>').format(
        cell.answer.answer or "(nothing)"
    )
    return answer + (Markup('<span class="lm-shares">{}</span>').format(bars) if bars else "")


def _bar(name: str, share: float) -> Markup:
    return Markup(
        '<span class="lm-share"><span dir="auto">{}</span>'
        '<span class="lm-bar"><i style="width:{}%"></i></span><span>{}%</span></span>'
    ).format(name, round(100 * share), round(100 * share))
