"""The page, in Gradio: what is chosen goes to a `Comparer`, what it says is shown."""

from __future__ import annotations

import math
import traceback
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from langmerge.errors import LangmergeError, ProjectError
from langmerge.merging import MethodInfo, methods
from langmerge.merging.auto import AUTO
from langmerge.merging.schema import method_info
from langmerge.serve.comparing import Comparer, Question, choices_in
from langmerge.serve.merges import Choice
from langmerge.serve.table import problem_html, to_html

_LONGEST_TEXT = 20_000
_REPORT = (
    '<iframe class="lm-report" src="report" title="Report" loading="lazy" sandbox="allow-scripts">'
    "</iframe>"
)
_STEPS = (0.05, 0.01, 0.001, 0.0001)
"""Of sliders; sweeps write four decimals."""
_EMPTY = '<p class="lm-hint">The answers will stand here, a column for each model.</p>'


def style() -> str:
    """Return the page's own style."""
    return (files("langmerge.serve") / "page.css").read_text(encoding="utf-8")


def build_page(comparer: Comparer) -> Any:
    """Return the page as Gradio blocks."""
    import gradio as gr

    project = comparer.project
    tasks, languages, recipes = list(project.tasks), list(project.languages), list(project.merge)
    state = _Controls(comparer)
    first, bounds = state.of_recipe(recipes[0], tasks[0]), state.bounds()

    with gr.Blocks(title=f"langmerge: {project.folder.name}", analytics_enabled=False) as page:
        gr.HTML(f"<h1 class='lm-title'>{_escaped(project.folder.name)}</h1>", padding=False)
        with gr.Tab("Compare"):
            with gr.Row(equal_height=False):
                with gr.Column(scale=3, min_width=300):
                    with gr.Row():
                        task = gr.Dropdown(
                            tasks, value=tasks[0], label="Task", visible=len(tasks) > 1,
                            elem_id="task", min_width=200,
                        )  # fmt: skip
                        language = gr.CheckboxGroup(
                            languages, value=languages[:1], label="Languages asked in",
                            elem_id="languages", min_width=200,
                        )  # fmt: skip
                    text = gr.Textbox(
                        label="Text", lines=4, max_lines=12, max_length=_LONGEST_TEXT,
                        elem_id="text",
                    )  # fmt: skip
                    choices = gr.Textbox(
                        label="Choices, one in each line", lines=3, elem_id="choices"
                    )
                    with gr.Row():
                        ask = gr.Button("Compare", variant="primary", elem_id="ask")
                        example = gr.Button("Insert a test row", elem_id="example")
                with gr.Column(scale=2, min_width=280):
                    recipe = gr.Dropdown(
                        recipes, value=recipes[0], label="Recipe of the project",
                        visible=len(recipes) > 1, elem_id="recipe",
                    )  # fmt: skip
                    method = gr.Dropdown(
                        [info.name for info in methods()], value=first["method"],
                        label="Merge method", elem_id="method",
                    )  # fmt: skip
                    density = gr.Slider(
                        **bounds["density"], value=first["density"], label="Density",
                        info="share of each task vector that is kept",
                        visible=first["has_density"], elem_id="density",
                    )  # fmt: skip
                    scale = gr.Slider(
                        **bounds["scale"], value=first["scale"], label="Lambda",
                        info="factor on the merged task vector",
                        visible=first["has_scale"], elem_id="scale",
                    )  # fmt: skip
            answers = gr.HTML(_EMPTY, elem_id="answers", min_height=160)
        with gr.Tab("Report", elem_id="report-tab"):
            gr.HTML(_REPORT, padding=False)

        asked = [task, language, text, choices, recipe, method, density, scale]

        def begin(task: str, languages: list[str]) -> Any:
            shown, options, needed = state.example(task, languages)
            return shown, gr.Textbox(value=options, visible=needed)

        def controls(found: dict[str, Any]) -> tuple[Any, ...]:
            return (
                found["method"],
                gr.Slider(value=found["density"], visible=found["has_density"]),
                gr.Slider(value=found["scale"], visible=found["has_scale"]),
            )

        # Gradio finds the tracker of progress by its default, and only where it stands by position.
        def compare(progress: Any = gr.Progress(), *values: Any) -> str:  # noqa: B008
            return state.compare(progress, *values)

        page.load(begin, [task, language], [text, choices], **_HIDDEN)
        task.input(
            lambda task, name: (
                controls(state.of_recipe(name, task))
                if project.merge[name].method == AUTO  # each task has a recipe of its own
                else (gr.skip(),) * 3
            ),
            [task, recipe], [method, density, scale], **_HIDDEN,
        )  # fmt: skip
        gr.on([task.input, example.click], begin, [task, language], [text, choices], **_HIDDEN)
        changed_recipe = recipe.input(
            lambda name, task: controls(state.of_recipe(name, task)), [recipe, task],
            [method, density, scale], **_HIDDEN,
        )  # fmt: skip
        changed_method = method.input(
            lambda *names: controls(state.of_method(*names)), [recipe, method, task],
            [method, density, scale], **_HIDDEN,
        )  # fmt: skip
        for trigger in (changed_recipe, changed_method):
            trigger.then(compare, asked, answers, **_HIDDEN)
        gr.on(
            [ask.click, density.release, scale.release], compare, asked, answers,
            trigger_mode="always_last", **_HIDDEN,
        )  # fmt: skip
    return page.queue(default_concurrency_limit=1)


_HIDDEN: dict[str, Any] = {"api_visibility": "private", "show_progress": "full"}


class _Controls:
    """What the page's controls mean; no Gradio in it."""

    def __init__(self, comparer: Comparer) -> None:
        self._comparer = comparer

    def example(self, task: str, languages: list[str]) -> tuple[str, str, bool]:
        """Return a text, its choices, and whether the task has choices."""
        needed = self._comparer.project.tasks[task].type == "multiple_choice"
        try:
            first = next(iter(languages or self._comparer.project.languages))
            text, choices = self._comparer.example(task, first)
        except LangmergeError:  # no data read yet; comparing will say so
            return "", "", needed
        return text, "\n".join(choices) if needed else "", needed

    def of_recipe(self, name: str, task: str) -> dict[str, Any]:
        """Return where the controls stand for a recipe of the project and a task."""
        try:
            own = self._comparer.merges.recipe(Choice(name), task)
        except ProjectError:  # its weights are not known yet; no control shows them
            project = self._comparer.project
            own = project.merge[name].checked(list(project.languages))
        return _controls(method_info(own.method), own.parameters)

    def of_method(self, recipe: str, method: str, task: str) -> dict[str, Any]:
        """Return where the controls stand for a method: the recipe's, if it is its own."""
        of_recipe = self.of_recipe(recipe, task)
        return of_recipe if of_recipe["method"] == method else _controls(method_info(method), {})

    def bounds(self) -> dict[str, dict[str, float]]:
        """Return the sliders' bounds and steps: every recipe and default can stand on them."""
        project = self._comparer.project
        found = [self.of_recipe(name, task) for name in project.merge for task in project.tasks]
        found += [_controls(info, {}) for info in methods()]
        densities = [float(each["density"]) for each in found if each["has_density"]]
        scales = [float(each["scale"]) for each in found if each["has_scale"]]
        density_step, scale_step = _step(densities), _step(scales)
        return {
            # A density is above 0; a slider's marks are counted from its least value.
            "density": {"minimum": density_step, "maximum": 1.0, "step": density_step},
            "scale": {
                "minimum": min(0.0, math.floor(min(scales))),
                "maximum": max(2.0, math.ceil(max(scales)) + 1.0),
                "step": scale_step,
            },
        }

    def compare(  # noqa: PLR0917 - the page's controls, in their order
        self,
        progress: Any,
        task: str,
        languages: list[str],
        text: str,
        choices: str,
        recipe: str,
        method: str,
        density: float,
        scale: float,
    ) -> str:
        """Return the answers as HTML, or what is wrong with the question."""
        project = self._comparer.project
        needs_choices = project.tasks[task].type == "multiple_choice"
        # In the project's order, whatever the order they were ticked in.
        ordered = tuple(code for code in project.languages if code in languages)
        question = Question(
            task, ordered, text or "", choices_in(choices or "") if needs_choices else ()
        )
        try:
            found = self._comparer.compare(
                question,
                Choice(recipe, method, density, scale),
                lambda share, what: progress(share, desc=what),
            )
        except LangmergeError as error:
            return problem_html(str(error))
        except Exception:
            traceback.print_exc()
            return problem_html("a bug in langmerge: what happened is in the terminal")
        return to_html(found)


def _step(values: Sequence[float]) -> float:
    """Return the coarsest step on whose multiples all values are, as far as a browser shows."""
    for step in _STEPS[:-1]:
        if all(math.isclose(value / step, round(value / step), abs_tol=1e-6) for value in values):
            return step
    return _STEPS[-1]


def _controls(method: MethodInfo, parameters: Any) -> dict[str, Any]:
    defaults = {parameter.key: parameter.default for parameter in method.parameters}
    given = {name.rstrip("_"): value for name, value in parameters.items()}
    values = {**defaults, **given}
    return {
        "method": method.name,
        "density": values.get("density", 1.0),
        "has_density": "density" in defaults,
        "scale": values.get("lambda", 1.0),
        "has_scale": "lambda" in defaults,
    }


def _escaped(text: str) -> str:
    from markupsafe import escape

    return str(escape(text))
