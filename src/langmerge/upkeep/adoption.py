"""Adapters that were trained elsewhere, taken into a project as a language's own or its ancestor.

Whatever trained it (PEFT, TRL, axolotl, LLaMA-Factory), an adapter is two files: its configuration
and its safetensors. Nothing else of its folder is opened: optimizer states and training arguments
are pickles, which can run code when read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from langmerge.canonical import digest_of
from langmerge.check import check_data
from langmerge.engine.holding import held
from langmerge.engine.ledger import Ledger
from langmerge.engine.meter import Meter
from langmerge.errors import AdapterError, DataError, ProjectError
from langmerge.merging.preflight import same_base
from langmerge.plan import Decision, Job, Planner, job_graph
from langmerge.plan.data import facts_of, read_splits
from langmerge.plan.graph import ANCESTOR, data_id, train_id
from langmerge.plan.keys import adopted, ancestor_document, job_document
from langmerge.plan.lock import Lock
from langmerge.selection import one_of
from langmerge.store import Action
from langmerge.workspace import Workspace

if TYPE_CHECKING:
    from langmerge.adapter import Adapter
    from langmerge.model import BaseModel
    from langmerge.train.config import LoraSettings

_CONFIG_NAME = "adapter_config.json"


@dataclass(frozen=True)
class Adoption:
    """An adapter that was taken in.

    Attributes:
        jobs: the trainings whose result it is now.
        digest: of its content.
        modules: how many modules it adapts.
        ranks: the ranks that occur, ascending.
        warnings: what to know of it.
    """

    jobs: tuple[Job, ...]
    digest: str
    modules: int
    ranks: tuple[int, ...]
    warnings: tuple[str, ...]


def adopt(
    workspace: Workspace,
    language: str,
    path: Path,
    *,
    task: str | None = None,
    seed: int | None = None,
) -> Adoption:
    """Make an adapter from elsewhere the result of a language's training, or of the ancestor's.

    It stands for the language's present rows: when they, the prompt or the base change, the
    language is trained by the project, from scratch or from the adapter, as `update.mode` says.
    An ancestor, such as a combined model, is what all languages start from, and stays while the
    base, the prompt and the shape of adapters do.

    Args:
        workspace: the project.
        language: whose adapter it is; `ancestor` for what all languages start from.
        path: its folder, or a training's output folder that holds one adapter.
        task: may be left out where the project has one only.
        seed: of the run whose adapter it is to be; by default the first, an ancestor every run's.

    Raises:
        ProjectError: for an unknown language, task or seed.
        AdapterError: if it is no LoRA adapter, does not fit the base, or is not finite; an
            ancestor also if it has other modules, another rank or scale than the project's.
        DataError: if the language's data are wrong.
        StorageError: if another process holds the project, or the store cannot be written.
    """
    from langmerge.adapter import Adapter
    from langmerge.model import load_skeleton, refuse_unfit_adapter

    project, resolved = workspace.project, workspace.base
    task = one_of(task, project.tasks, "task")
    if language != ANCESTOR:
        language = one_of(language, project.languages, "language")
    jobs = _trainings(workspace, task, language, seed)
    folder = adapter_folder(path)
    adapter = Adapter.load(folder)
    skeleton = load_skeleton(resolved)
    warnings = _other_base(workspace, adapter)
    own = _plain(workspace, adapter)
    refuse_unfit_adapter(skeleton, own)
    lora = project.adapter_for(None if language == ANCESTOR else language)
    modules, shape = _other_modules(lora, adapter, skeleton), _other_shape(lora, adapter)
    if language == ANCESTOR:
        _refuse_other_start(modules, shape)
    else:
        warnings += _not_continued(language, modules, shape)
    known = {"adapter": adapter.digest, "source": _name(folder), "base_model": adapter.base_model}
    with held(workspace.store.root), workspace.store.lease("run"):
        # Who held the project before may have written the lock since it was read.
        workspace.lock.jobs = Lock.load(project.folder).jobs
        ledger = Ledger(workspace.store.root)
        warnings += _replaced(workspace, jobs, adapter) if language == ANCESTOR else []
        for job in jobs:
            document = adopted(_document(workspace, job), known)
            decision = Decision(job, "run", f"adopted from {known['source']}", document)
            meter = Meter()
            output = workspace.store.put(lambda target: _save(own, target))
            cost = ledger.clock.stamp(decision, meter.reading({"adopted": True}))
            action = workspace.store.record(
                Action(digest_of(document), document, output, {"adopted": known}, cost)
            )
            ledger.finished(decision, action, cost)
            workspace.lock.update({job.id: action})
    ranks = sorted({shape.rank for shape in own.shapes.values()})
    return Adoption(jobs, adapter.digest, len(own.modules), tuple(ranks), tuple(warnings))


def adapter_folder(path: Path) -> Path:
    """Return the folder of the one adapter at a path: the path itself, or its only one below.

    Raises:
        AdapterError: if there is none, or several.
    """
    if (path / _CONFIG_NAME).is_file() or not path.is_dir():
        return path  # loading it says what is wrong
    found = sorted(config.parent for config in path.glob(f"*/{_CONFIG_NAME}"))
    if len(found) == 1:
        return found[0]
    if not found:
        raise AdapterError(
            f"{path}: no {_CONFIG_NAME} in it or in its folders; give the folder that peft's "
            "save_pretrained, or a trainer, wrote the adapter to"
        )
    names = ", ".join(folder.name for folder in found)
    raise AdapterError(f"{path}: holds {len(found)} adapters ({names}); give the folder of one")


def _trainings(workspace: Workspace, task: str, language: str, seed: int | None) -> tuple[Job, ...]:
    """Return the trainings that an adapter stands for: one, or an ancestor's of every seed."""
    project = workspace.project
    if language == ANCESTOR and not project.has_ancestor:
        raise ProjectError(
            f"{project.path}: adapter.init is {project.adapter.init}, so its languages start from "
            "no ancestor; set adapter.init to ancestor to adopt one"
        )
    if language != ANCESTOR and project.has_ancestor:
        raise ProjectError(
            f"{project.path}: adapter.init is ancestor, and an adapter from elsewhere "
            "did not start from the project's; set adapter.init to shared to adopt it, or adopt "
            "what all languages are to start from: langmerge adopt ancestor FOLDER"
        )
    seeds = project.seeds_for(task)
    if seed is not None and seed not in seeds:
        raise ProjectError(
            f"--seed {seed}: the project has no such run of {task} (it has "
            f"{', '.join(map(str, seeds))}); add it to seeds:, or leave --seed out"
        )
    if seed is not None:
        seeds = (seed,)
    elif language != ANCESTOR:
        seeds = seeds[:1]
    jobs = {job.id: job for job in job_graph(project)}
    return tuple(jobs[train_id(task, language, each)] for each in seeds)


def _replaced(workspace: Workspace, jobs: Sequence[Job], adapter: Adapter) -> list[str]:
    """Say so if the lock pins other ancestors: all that started from them retrain."""
    pinned = [(job, workspace.lock.key_of(job.id)) for job in jobs]
    last = {job.id: workspace.store.action(key) for job, key in pinned if key is not None}
    others = [
        name
        for name, action in last.items()
        if action is None or action.facts.get("adopted", {}).get("adapter") != adapter.digest
    ]
    if not others:
        return []
    return [
        f"{adapter.source}: takes the place of {', '.join(others)}, which the lock pinned; all "
        "languages retrain from it"
    ]


def _other_base(workspace: Workspace, adapter: Adapter) -> list[str]:
    """Refuse an adapter of another base as far as names can tell; else say where they differ."""
    base, named = workspace.base, adapter.base_model
    location = str(base.location)
    if named is None:
        return [f"{adapter.source}: does not name its base; nothing but its shapes tells it fits"]
    if base.kind == "hub" and _is_hub_name(named) and named.casefold() != location.casefold():
        raise AdapterError(
            f"{adapter.source}: was trained on '{named}', the project's base is {base.name}; "
            "adopt adapters of that base only"
        )
    if base.revision and adapter.revision not in (None, "main", base.revision):
        raise AdapterError(
            f"{adapter.source}: was trained on revision '{adapter.revision}' of its base, the "
            f"project's is {base.name}; set base: to that revision, or train on this one"
        )
    if not same_base(named, location):
        return [
            f"{adapter.source}: names '{named}' as its base, the project's is {base.name}; the "
            "shapes agree, but only you can tell that the weights do"
        ]
    return []


def _is_hub_name(name: str) -> bool:
    parts = name.split("/")
    return len(parts) == 2 and parts[0] not in ("", ".", "..", "~")


def _other_modules(lora: LoraSettings, adapter: Adapter, base: BaseModel) -> str:
    """Say so if the project would train other modules."""
    from langmerge.train.lora import target_modules

    wanted = target_modules(base, lora.target_modules)
    own = set(adapter.modules)
    missing, more = [name for name in wanted if name not in own], own - set(wanted)
    if not missing and not more:
        return ""
    parts = []
    if missing:
        parts.append(f"not {len(missing)} of the {len(wanted)} that the project trains")
    if more:
        parts.append(f"{len(more)} that it does not train")
    example = (missing or sorted(more))[0]
    return f"{adapter.source}: adapts {len(own)} modules, {' and '.join(parts)} (such as {example})"


def _other_shape(lora: LoraSettings, adapter: Adapter) -> str:
    """Say so if the project would train with another rank or scale."""
    from langmerge.train.lora import rank_and_scale

    for module, shape in adapter.shapes.items():
        rank, scale = rank_and_scale(module, lora)
        found = shape.rank, adapter.scale(module)
        if (rank, round(scale, 6)) != (found[0], round(found[1], 6)):
            return (
                f"{adapter.source}: rank {found[0]} and scale {found[1]:g}, where the project "
                f"trains with {rank} and {scale:g}"
            )
    return ""


def _not_continued(language: str, modules: str, shape: str) -> list[str]:
    """Return warnings of what newer rows do to a language's adapter of another shape."""
    warnings = []
    if modules:
        warnings.append(
            f"{modules}; newer rows train it anew in the project's, and `update.mode: continue` "
            f"cannot go on from it; set languages.{language}.adapter.target_modules: to keep its "
            "modules"
        )
    if shape:
        warnings.append(
            f"{shape}; newer rows train it anew with these, and `update.mode: continue` cannot go "
            f"on from it; set languages.{language}.adapter: to keep its shape"
        )
    return warnings


def _refuse_other_start(modules: str, shape: str) -> None:
    """Refuse an ancestor of another shape: the languages go on from it."""
    if modules:
        raise AdapterError(
            f"{modules}; languages go on from it: set adapter.target_modules: to its modules"
        )
    if shape:
        raise AdapterError(
            f"{shape}; languages go on from it: set adapter.r, lora_alpha and what else makes "
            "these (use_rslora, rank_pattern, alpha_pattern) to what it was trained with"
        )


def _plain(workspace: Workspace, adapter: Adapter) -> Adapter:
    """Return the adapter's factors alone, as an adapter of the project's base.

    Raises:
        AdapterError: if it holds more than factors, other than copies of the base's own tensors
            (PEFT saves embeddings with the adapter when it is unsure of them).
    """
    from langmerge.adapter import Adapter as New
    from langmerge.model import load_base

    if adapter.extras:
        _refuse_changed(load_base(workspace.base, device="cpu"), adapter)
    return New.from_factors(
        {module: adapter.factors(module) for module in adapter.modules},
        base_model=str(workspace.base.location),
        revision=workspace.base.revision,
        embeddings=adapter.embeddings,
        fan_in_fan_out=bool(adapter.config.get("fan_in_fan_out")),
    )


def _refuse_changed(base: BaseModel, adapter: Adapter) -> None:
    own = dict(base.model.named_parameters(remove_duplicate=False))
    for name in adapter.extras:
        found, kept = adapter.extra_tensor(name), own.get(name)
        if kept is None or found.shape != kept.shape or bool((found != kept.to(found.dtype)).any()):
            raise AdapterError(
                f"{adapter.source}: '{name}' is no LoRA factor and differs from the base's (a "
                "trained or resized embedding, modules_to_save, a bias); such adapters do not "
                "merge: train without it"
            )


def _document(workspace: Workspace, job: Job) -> dict[str, object]:
    """Return the document of the job's training from scratch, on the present rows."""
    if job.is_ancestor:
        return ancestor_document(job, workspace.project, workspace.base)
    planner = Planner(workspace.project, workspace.base, workspace.store, workspace.lock)
    jobs = {each.id: each for each in job_graph(workspace.project)}
    data = jobs[data_id(job.task, job.language or "")]
    decision = planner.decide(data)
    if decision.result is not None:
        planner.learn(data, decision.result)
    else:
        try:
            planner.facts[data.id] = facts_of(read_splits(workspace.project, data))
        except DataError:
            check_data(workspace.project).without_errors()
            raise
    return job_document(job, workspace.project, workspace.base, planner.facts)


def _save(adapter: Adapter, folder: Path) -> None:
    adapter.save(folder)


def _name(folder: Path) -> str:
    """Return a folder's name with its parent's where it is only a step's: `run-3/checkpoint-200`.

    Never a whole path: documents travel with the project, the machine's folders do not.
    """
    resolved = folder.resolve()
    is_step = resolved.name.startswith("checkpoint-")
    return f"{resolved.parent.name}/{resolved.name}" if is_step else resolved.name
