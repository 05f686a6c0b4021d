"""The card beside an exported model: what it is, what it scored, how to load it, its digests."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from langmerge import __version__
from langmerge.canonical import digest_of_file
from langmerge.errors import ProjectError
from langmerge.markdown import code, code_block, escape, table
from langmerge.results import Results, load_results
from langmerge.selection import Selection
from langmerge.upkeep.card import CARD_FILE, loading_code, prompt_blocks, public_name

DIGESTS_FILE = "langmerge_digests.json"


def describe(folder: Path, selection: Selection, model: str, *, is_checkpoint: bool) -> None:
    """Write the card and the digests of a folder's files beside them.

    Args:
        folder: holds the model's files.
        selection: the model in its project.
        model: its name there.
        is_checkpoint: whether the folder is a full model.
    """
    base = selection.workspace.base
    digests = {
        path.relative_to(folder).as_posix(): digest_of_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    content = {
        "langmerge": __version__,
        "task": selection.task_name,
        "model": model,
        "base": base.identity(),
        "files": digests,
    }
    text = json.dumps(content, indent=1, sort_keys=True) + "\n"
    (folder / DIGESTS_FILE).write_text(text, encoding="utf-8")
    card = _card(selection, model, digests, is_checkpoint)
    (folder / CARD_FILE).write_text(card, encoding="utf-8")


def _card(selection: Selection, model: str, digests: Mapping[str, str], is_checkpoint: bool) -> str:
    from huggingface_hub import ModelCardData

    base = public_name(selection.workspace.base.name)
    languages = list(selection.workspace.project.languages)
    if model == "individual":
        languages = [selection.language]
    data = ModelCardData(
        base_model=base.name,
        base_model_relation="merge" if is_checkpoint else "adapter",
        language=[code for code in languages if code.isalpha() and len(code) in (2, 3)] or None,
        library_name="transformers" if is_checkpoint else "peft",
        pipeline_tag="text-generation",
        tags=["model-merging", "multilingual", "langmerge", *([] if is_checkpoint else ["lora"])],
    )
    body = "\n\n".join(_body(selection, model, languages, is_checkpoint))
    rows = [(escape(name), code(digest)) for name, digest in digests.items()]
    return (
        f"---\n{data.to_yaml().strip()}\n---\n\n{body}\n\n## Digests\n\n"
        f"SHA-256 of the files, also in {code(DIGESTS_FILE)}.\n\n"
        f"{table(('file', 'SHA-256'), rows, ('left', 'left'))}\n"
    )


def _body(
    selection: Selection, model: str, languages: list[str], is_checkpoint: bool
) -> Iterator[str]:
    base = public_name(selection.workspace.base.name)
    yield f"# {escape(selection.task_name)}: {escape(model)}"
    kind = "The full model made of" if is_checkpoint else "A LoRA adapter for"
    yield (
        f"{kind} {code(base.name)}, for {escape(', '.join(languages))}. "
        f"Made by langmerge {__version__}."
    )
    yield from _scores(selection, model)
    yield "## Use"
    yield code_block(_FULL_MODEL if is_checkpoint else loading_code(base), "python")
    yield from prompt_blocks(selection.task, languages)
    if (recipe := _recipe(selection)) is not None:
        yield "## Recipe"
        rows = [(escape(name), code(str(value))) for name, value in recipe.items()]
        yield table(("parameter", "value"), rows, ("left", "left"))


_FULL_MODEL = """\
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("THIS FOLDER")
model = AutoModelForCausalLM.from_pretrained("THIS FOLDER")"""


def _scores(selection: Selection, model: str) -> Iterator[str]:
    """Yield the model's test scores, where the last run has them."""
    try:
        results: Results = load_results(selection.workspace.project.path)
    except ProjectError:
        return
    metric = selection.task.primary_metric
    rows = [
        (escape(score.language), f"{score.metrics[metric].value:.1f}", str(score.n))
        for score in results.scores
        if (score.task, score.model, score.split) == (selection.task_name, model, "test")
        and metric in score.metrics
    ]
    if rows:
        yield "## Results"
        yield f"In points of {code(metric)} (0 to 100), on the project's own test rows."
        yield table(("language", "score", "rows"), rows, ("left", "right", "right"))


def _recipe(selection: Selection) -> dict[str, Any] | None:
    from langmerge.adapter import Adapter

    if selection.adapter is None:
        return None
    made = Adapter.load(selection.adapter).recipe or {}
    settings: dict[str, Any] = made.get("recipe", {})
    return {name: value for name, value in settings.items() if value is not None} or None
