"""`langmerge evaluate`: any model on any data, without a project."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml
from pydantic import TypeAdapter, ValidationError
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from langmerge.cli._console import JsonOption, err, show_json, show_warnings
from langmerge.cli.analyze import escaped
from langmerge.cli.results import show_table
from langmerge.errors import ProjectError, UserError
from langmerge.files import write_atomically
from langmerge.yaml_text import parse_yaml

if TYPE_CHECKING:
    from langmerge.harness.results import HarnessResults
    from langmerge.standalone.evaluation import Evaluation, Options
    from langmerge.standalone.subject import Subject
    from langmerge.tasks import Task


def evaluate(  # noqa: PLR0917 - a verb's options, given by name
    subject: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL_OR_ADAPTER]",
            help="A checkpoint's or PEFT adapter's folder, a GGUF file, or ID@COMMIT of the Hub.",
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(help="classification, multiple_choice or generation; with --project a name."),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="The rows: a file, or a path with {language} in it.")
    ] = None,
    languages: Annotated[
        list[str] | None,
        typer.Option("--language", help="A language; repeat it. All that --data has files for."),
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="The labels of a classification: good,bad.")
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="The template: 'Review: {text}'.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any other option of the task, as NAME=VALUE."),
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option("--column", help="A column the file calls otherwise, as NAME=COLUMN."),
    ] = None,
    language_column: Annotated[
        str | None, typer.Option(help="The column that tells the languages of one file apart.")
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="The adapter's base; as its configuration says.")
    ] = None,
    project: Annotated[
        Path | None, typer.Option(help="Evaluate a model of this project file.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="With --project: base, individual, combined, merged:RECIPE."),
    ] = None,
    engine: Annotated[
        str, typer.Option(help="transformers, or vllm for generated text.")
    ] = "transformers",
    device: Annotated[str, typer.Option(help="cpu, cuda; auto takes a GPU.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
    max_length: Annotated[
        int | None, typer.Option(min=1, help="The most tokens of prompt and answer; 512.")
    ] = None,
    batch_tokens: Annotated[
        int | None, typer.Option(min=1, help="The most tokens computed together; 2048.")
    ] = None,
    harness: Annotated[
        str | None,
        typer.Option(help="Run these tasks of lm-evaluation-harness instead: TASK,TASK."),
    ] = None,
    include: Annotated[
        list[Path] | None,
        typer.Option(help="A folder with the harness's tasks in YAML, which may run code."),
    ] = None,
    imported: Annotated[
        Path | None, typer.Option("--import", help="Show a results file of the harness.")
    ] = None,
    predictions: Annotated[
        Path | None, typer.Option(help="A folder to write the answers to, LANGUAGE.jsonl.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--out", help="A file to write the scores to, as JSON.")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Compute again what the cache has.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Evaluate a model or an adapter on data: the tasks, metrics and intervals of a project."""
    from langmerge.standalone.data import data_settings, languages_of, read_data

    options = _options(
        engine=engine,
        device=device,
        dtype=dtype,
        max_length=max_length,
        batch_tokens=batch_tokens,
        fresh=fresh,
    )
    if output is not None and output.is_dir():
        raise UserError(f"--out {output}: a folder, expected a file to write; add a name")
    if harness is not None or imported is not None:
        if (task or data or project) is not None or predictions is not None:
            raise UserError(
                "--harness and --import: the harness has tasks, data and answers of its own; "
                "leave out --task, --data, --project and --predictions"
            )
        if imported is not None:
            if subject is not None or harness is not None:
                raise UserError("--import: shows a file; leave out MODEL_OR_ADAPTER and --harness")
            from langmerge.harness.results import read_harness_results

            show(read_harness_results(imported), output, json)
        else:
            show(_by_harness(subject, base, harness or "", include or (), options), output, json)
        return
    if data is None:
        raise UserError("--data is missing: name a file, or a path with {language} in it")
    codes = languages_of(data, languages or ())
    rows = data_settings(data, codes, language_column, _pairs(columns or [], "--column"))
    given = {
        "labels": None if labels is None else _labels(labels),
        "prompt": prompt,
        **{name: _value(name, text) for name, text in _pairs(settings or [], "--set").items()},
    }
    given = {name: value for name, value in given.items() if value is not None}
    if project is None:
        of_task = _task(task, {**given, "data": rows})
        _refuse_unclear_language(of_task, codes)
        splits = read_data(of_task, codes)
        found = _subject(subject, base, model)
    else:
        if subject is not None or base is not None or given:
            raise UserError(
                "--project: its models, tasks and prompts are as the file says; leave out "
                "MODEL_OR_ADAPTER, --base, --labels, --prompt and --set"
            )
        of_task, found, options = _of_project(
            project, task_name=task, model=model, languages=codes, rows=rows, options=options
        )
        splits = read_data(of_task, codes)
    evaluation = _evaluated(found, of_task, splits, options)
    if predictions is not None:
        _write_answers(evaluation, predictions)
    show(evaluation, output, json)


def _options(**given: Any) -> Options:
    from langmerge.standalone.evaluation import Options

    _one_of(given["engine"], ("transformers", "vllm"), "--engine")
    _one_of(given["dtype"], ("auto", "float32", "bfloat16"), "--dtype")
    return Options(**{name: value for name, value in given.items() if value is not None})


def _one_of(value: str, known: Sequence[str], option: str) -> None:
    if value not in known:
        raise UserError(f"{option} {value}: expected {' or '.join(known)}")


def _pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name or not value:
            raise UserError(f"{option} {text}: expected NAME=VALUE")
        pairs[name] = value
    return pairs


def _labels(text: str) -> list[str]:
    labels = [label.strip() for label in text.split(",")]
    if not all(labels):
        raise UserError(f"--labels {text}: a label is empty; expected names, as in good,bad")
    return labels


def _value(name: str, text: str) -> Any:
    """Return an option's value, written as in a project file."""
    try:
        return parse_yaml(text)[0]
    except yaml.YAMLError:
        raise UserError(
            f"--set {name}={text}: not readable as YAML; check brackets and quotes"
        ) from None


def _task(kind: str | None, given: dict[str, Any]) -> Task:
    """Return the task that the options describe; its errors name the options."""
    from langmerge.tasks import AnyTask

    kinds = ("classification", "multiple_choice", "generation")
    if kind is None:
        raise UserError(f"--task is missing: {', '.join(kinds)}")
    _one_of(kind, kinds, "--task")
    if kind == "classification" and "labels" not in given:
        raise UserError("--labels is missing: name all labels of the data, as in good,bad")
    try:
        found: Task = TypeAdapter(AnyTask).validate_python({"type": kind, **given})
    except ValidationError as error:
        first = error.errors()[0]
        key = next((str(part) for part in first["loc"] if part != kind), "")
        message = str(first["msg"]).removeprefix("Value error, ")
        raise UserError(f"{_option(key)}: {message}") from None
    return found


def _option(key: str) -> str:
    if key in ("labels", "prompt", "data"):
        return f"--{key}"
    return f"--set {key}" if key else "--set"


def _refuse_unclear_language(task: Task, languages: Sequence[str]) -> None:
    from langmerge.standalone.data import UNDETERMINED

    if task.type == "generation" and languages == (UNDETERMINED,):
        raise UserError("--language is missing: what ROUGE counts depends on it (see docs/metrics)")


def _subject(name: str | None, base: str | None, model: str | None) -> Subject:
    from langmerge.standalone.subject import find

    if model is not None:
        raise UserError(f"--model {model}: a project's model; name its file by --project")
    if name is None:
        raise UserError(
            "MODEL_OR_ADAPTER is missing: name a folder or ID@COMMIT, or a project by --project"
        )
    return find(name, base)


def _of_project(
    project_file: Path,
    *,
    task_name: str | None,
    model: str | None,
    languages: Sequence[str],
    rows: dict[str, object],
    options: Options,
) -> tuple[Task, Subject, Options]:
    """Return a project's task with other data, its model, and its way of computing."""
    from dataclasses import replace

    from langmerge.data.config import DataConfig
    from langmerge.plan.graph import INDIVIDUAL
    from langmerge.selection import select
    from langmerge.standalone.subject import Subject, with_adapter

    if model == INDIVIDUAL and len(languages) > 1:
        raise UserError(
            f"--model {model}: every language has its own; evaluate one language at a time"
        )
    selection = select(
        project_file,
        task=task_name,
        language=languages[0] if model == INDIVIDUAL else None,
        model=model,
        any_language=True,
    )
    if selection.stale:
        show_warnings([f"{model} was trained on older data than the project has"])
    task = selection.task.model_copy(update={"data": DataConfig.model_validate(rows)})
    _refuse_without_prompt(task, languages)
    project = selection.workspace.project
    name = model or f"merged:{project.released_recipe}"
    base = selection.workspace.base
    subject = (
        Subject(name, base)
        if selection.adapter is None
        else with_adapter(name, selection.adapter, lambda _: base)
    )
    return (
        task,
        subject,
        replace(
            options,
            dtype=project.train.dtype,
            max_length=project.train_for(selection.language).max_length,
            resamples=project.evaluate.resamples,
            confidence=project.evaluate.confidence,
        ),
    )


def _refuse_without_prompt(task: Task, languages: Sequence[str]) -> None:
    for language in languages:
        try:
            task.template(language)
        except KeyError:
            raise ProjectError(
                f"--language {language}: the project's prompts are for other languages and there "
                "is no 'default'; add one"
            ) from None


def _evaluated(found: Subject, task: Task, splits: Any, options: Options) -> Evaluation:
    from langmerge.standalone.evaluation import evaluate as compute

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    ) as progress:
        bars = {
            language: progress.add_task(language, total=len(split))
            for language, split in splits.items()
        }
        return compute(
            found,
            task,
            splits,
            options,
            lambda language, done, total: progress.update(
                bars[language], completed=done, total=total
            ),
        )


def _by_harness(
    subject: str | None,
    base: str | None,
    names: str,
    folders: Sequence[Path],
    options: Options,
) -> HarnessResults:
    """Return what the harness finds; its tasks are looked up before the model is loaded."""
    from langmerge.harness.run import find_tasks, run_tasks
    from langmerge.standalone.evaluation import loaded

    found = _subject(subject, base, None)
    tasks = find_tasks([name.strip() for name in names.split(",")], folders)
    rows = max(1, options.batch_tokens // options.max_length)
    with loaded(found, options.device, options.dtype) as model:
        return run_tasks(model, tasks, model=found.name, batch_rows=rows)


def _write_answers(found: Evaluation, folder: Path) -> None:
    from json import dumps

    for scores in found.languages:
        lines = (dumps(answer.to_json(), ensure_ascii=False) for answer in scores.predictions)
        text = "".join(f"{line}\n" for line in lines)
        write_atomically(folder / f"{scores.language}.jsonl", text)


def show(found: Evaluation | HarnessResults, output: Path | None, json: bool) -> None:
    """Print scores, and write them where asked for."""
    from json import dumps

    if output is not None:
        write_atomically(output, dumps(found.to_json(), indent=1, ensure_ascii=False) + "\n")
    if json:
        show_json(found.to_json())
    else:
        show_table(escaped(found.table()))
