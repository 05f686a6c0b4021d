"""mergekit's YAML, as far as its methods have a counterpart here.

Its models are checkpoints, ours adapters: `base+adapter` or an adapter's folder. What would change
the result and cannot be done is refused, by name; what would not is noted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from langmerge.errors import MergeError, did_you_mean
from langmerge.merging.profiles import PROFILES
from langmerge.merging.recipe_file import MergeOrder, resolved
from langmerge.merging.schema import method_info

_KEYS = ("merge_method", "models", "base_model", "parameters", "dtype")
# Without effect on a merge of adapters into their own base.
_NOTED = {
    "out_dtype": "a checkpoint keeps its base's dtype",
    "tokenizer_source": "the base's tokenizer is kept",
    "tokenizer": "the base's tokenizer is kept",
    "chat_template": "the base's chat template is kept",
    "name": "it names nothing here",
    "dtype": "arithmetic is in fp32, and a checkpoint keeps its base's dtype",
}
_REFUSED = {
    "slices": "layers cannot be recombined by merging adapters",
    "modules": "parts of a model cannot be merged apart",
    "tokenizer_map": "tokens cannot be remapped",
}
# mergekit's parameters, by their names here; None: read apart.
_SHARED = {
    "normalize": "normalize",
    "lambda": "lambda",
    "rescale": "rescale",
    "select_topk": "density",
}
_PER_MODEL = ("weight", "density", "gamma", "epsilon")
# What its methods take for a model that does not say.
_DEFAULTS = {"density": 1.0, "gamma": 0.01, "epsilon": 0.15}


def order_of(value: Mapping[str, Any], path: Path) -> MergeOrder:
    """Return what a mergekit file orders.

    Raises:
        MergeError: if it asks for something that has no counterpart.
    """
    notes = _check_keys(value, path)
    method = str(value["merge_method"])
    known = PROFILES["mergekit"]
    if method not in known:
        raise MergeError(
            f"{path}: merge_method '{method}' has no counterpart{did_you_mean(method, known)} "
            f"(those that do: {', '.join(known)})"
        )
    shared = _mapping(value.get("parameters"), f"{path}: parameters")
    base = _base(value.get("base_model"))
    adapters, own = _models(value.get("models"), base, method, path)
    options = _shared_options(shared, method, path, notes)
    for name in _per_model_names(method):
        found = [parameters.get(name, shared.get(name)) for parameters in own]
        if any(entry is not None for entry in found):
            options |= _per_model(name, found, method, path)
    return MergeOrder(
        adapters=tuple(resolved(adapter, path) or Path() for adapter in adapters),
        method=method,
        options={"profile": "mergekit"} | options,
        base=resolved(base, path),
        notes=tuple(notes),
    )


def _check_keys(value: Mapping[str, Any], path: Path) -> list[str]:
    notes = []
    for key in value:
        if key in _REFUSED:
            raise MergeError(f"{path}: {key!r} cannot be honoured: {_REFUSED[key]}")
        if key in _NOTED:
            notes.append(f"{path}: {key!r} has no effect: {_NOTED[key]}")
        elif key not in _KEYS:
            every = [*_KEYS, *_NOTED]
            raise MergeError(f"{path}: unknown key {key!r}{did_you_mean(str(key), every)}")
    return notes


def _models(
    value: Any, base: str | None, method: str, path: Path
) -> tuple[list[str], list[Mapping[str, Any]]]:
    """Return the adapters and the parameters of each; the base among them is left out."""
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise MergeError(f"{path}: models is {value!r}, expected a list")
    adapters, parameters = [], []
    for entry in value:
        where = f"{path}: model {entry!r}"
        item = {"model": entry} if isinstance(entry, str) else _mapping(entry, where)
        if unknown := [key for key in item if key not in ("model", "parameters")]:
            raise MergeError(f"{where}: unknown key {unknown[0]!r}, expected model and parameters")
        name = item.get("model")
        if isinstance(name, dict):
            name = name.get("lora") or name.get("model")
        if not isinstance(name, str):
            raise MergeError(f"{where}: expected the model's path")
        if name == base:
            if method == "linear":
                raise MergeError(
                    f"{path}: the base among the models of 'linear' counts as an adapter that "
                    "changes nothing, which cannot be honoured; leave it out and lower 'lambda'"
                )
            continue
        adapter = name.rpartition("+")[2]
        if "+" not in name and not (path.parent / name / "adapter_config.json").exists():
            raise MergeError(
                f"{path}: model '{name}' is no adapter's folder; langmerge merges adapters, "
                "written as BASE+ADAPTER or as the adapter's folder"
            )
        adapters.append(adapter)
        parameters.append(_mapping(item.get("parameters"), f"{where}: parameters"))
        for key in parameters[-1]:
            if key not in (known := _per_model_names(method)):
                raise MergeError(
                    f"{where}: parameter {key!r} cannot be honoured for one model alone"
                    f"{did_you_mean(str(key), known)}"
                )
    return adapters, parameters


def _shared_options(
    shared: Mapping[str, Any], method: str, path: Path, notes: list[str]
) -> dict[str, Any]:
    options: dict[str, Any] = {}
    names = _per_model_names(method)
    for key, entry in shared.items():
        if key in names:
            continue
        if key == "int8_mask":
            notes.append(f"{path}: 'int8_mask' has no effect: masks are never stored")
        elif key not in _SHARED:
            every = [*_SHARED, *names, "int8_mask"]
            raise MergeError(
                f"{path}: parameter {key!r} cannot be honoured{did_you_mean(str(key), every)}"
            )
        elif isinstance(entry, list | dict):
            raise MergeError(f"{path}: parameter {key!r} varies by layer, which is not supported")
        elif key == "rescale":
            options["rescale"] = "l1" if entry else "none"
        else:
            options[_SHARED[key]] = entry
    if method in ("linear", "task_arithmetic"):
        if "rescale" in options:
            del options["rescale"]
            notes.append(f"{path}: 'rescale' has no effect: {method} takes no entry away")
        # Here these are two methods: the average and the sum.
        average = options.pop("normalize", method == "linear")
        if average != (method == "linear"):
            other = "linear" if average else "task_arithmetic"
            raise MergeError(f"{path}: with that 'normalize' the merge_method is '{other}' here")
    return options


def _per_model(name: str, found: list[Any], method: str, path: Path) -> dict[str, Any]:
    """Return the weights, or the one value of all models."""
    if any(isinstance(entry, list | dict) for entry in found):
        raise MergeError(f"{path}: '{name}' varies by layer, which is not supported")
    if name == "weight":
        if any(entry is None for entry in found):
            raise MergeError(f"{path}: '{name}' is given for some models only")
        return {"weights": found}
    values = {_DEFAULTS[name] if entry is None else entry for entry in found}
    if len(values) > 1:
        raise MergeError(
            f"{path}: '{name}' differs between models ({sorted(values)}); one {name} for all "
            "is what can be honoured"
        )
    return {} if method in ("linear", "task_arithmetic") else {name: values.pop()}


def _per_model_names(method: str) -> tuple[str, ...]:
    """Return the parameters that a method of mergekit takes for each model."""
    own = {parameter.name for parameter in method_info(method).parameters}
    return tuple(name for name in _PER_MODEL if name in {"weight", "density"} or name in own)


def _base(value: Any) -> str | None:
    if isinstance(value, dict):
        value = value.get("model")
    return value if isinstance(value, str) else None


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise MergeError(f"{where} is {value!r}, expected keys and values")
    return value
