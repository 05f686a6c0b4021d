"""A LoRA adapter as an immutable value: PEFT folders in and out, tensors read one at a time.

An adapter changes each module `m` of a base model by `delta_m = scale_m * B_m @ A_m`. `Adapter`
names modules as the base model does (`model.layers.0.self_attn.q_proj`), without PEFT's prefixes
and suffixes, and folds all of PEFT's ways to state a scale (alpha, rslora, patterns) into one
number per module. Headers are read when an adapter is loaded, tensors when they are asked for.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from langmerge.canonical import digest_of, parse_json
from langmerge.errors import AdapterError, StorageError
from langmerge.tensors import (
    FLOAT_DTYPES,
    FileTensors,
    MemoryTensors,
    Replacing,
    TensorHeader,
    bytes_of,
    one_thread_per_operation,
    write_tensors,
)

CONFIG_NAME = "adapter_config.json"
TENSORS_NAME = "adapter_model.safetensors"
RECIPE_NAME = "langmerge_recipe.json"

_PREFIX = "base_model.model."
_FACTOR_NAME = re.compile(
    r"(?P<module>.+)\.(?:lora_(?P<linear>[AB])\.weight"
    r"|lora_embedding_(?P<embedding>[AB]))"
)
# Configurations under which `scale * B @ A` is not the whole change of the model, and why.
_UNSUPPORTED = {
    "use_dora": "DoRA also rescales each row of the base weight, so its change is not B @ A",
    "use_qalora": "QALoRA pools the inputs of A, so its change is not B @ A",
    "use_bdlora": "block-diagonal LoRA stores its factors in blocks",
    "alora_invocation_tokens": "aLoRA acts only after its invocation tokens, not on every token",
    "arrow_config": "Arrow routes every token to other adapters, so there is no single change",
    "kasa_config": "KaSA also changes the base weight",
    "monteclora_config": "MonteCLoRA draws its factors at random",
    "layer_replication": "the adapter belongs to a model with repeated layers",
    "target_parameters": "the adapter targets bare parameters rather than modules",
}
_HUGE = 1e18
"""Beyond any rank or alpha, and within what a float holds."""
# Initializations that subtract the first B @ A from the base weight (PEFT redoes it on loading).
_BASE_CHANGING_INITS = ("pissa", "olora", "corda", "loftq", "lora_ga")


@dataclass(frozen=True)
class LoraFactors:
    """The two factors of one module, as stored, and their scale.

    For an embedding the layout is the same: `delta` has one row per token.

    Attributes:
        a: `[rank, in]`, any floating dtype.
        b: `[out, rank]`, any floating dtype.
        scale: the factor before `b @ a`.
    """

    a: Tensor
    b: Tensor
    scale: float = 1.0

    def delta(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return the task vector `scale * b @ a`, `[out, in]`, computed in `dtype`."""
        return (self.b.to(dtype) * self.scale) @ self.a.to(dtype)


class ModuleShape(NamedTuple):
    """The sizes of one adapted module."""

    out_features: int
    in_features: int
    rank: int


_Source = MemoryTensors | FileTensors


@dataclass(frozen=True)
class _Module:
    """Where the factors of one module are (PEFT's A, then B), and how they are scaled."""

    keys: tuple[str, str]
    shape: ModuleShape
    scale: float
    embedding: bool


class Adapter:
    """An immutable LoRA adapter; made by `load` or `from_factors`."""

    def __init__(
        self,
        config: Mapping[str, Any],
        source: _Source,
        recipe: Mapping[str, Any] | None = None,
    ) -> None:
        """Index the tensors of `source` as `config` describes them; use `load` or `from_factors`.

        Raises:
            AdapterError: if the configuration or the headers are not a LoRA adapter's.
        """
        self._config = copy.deepcopy(dict(config))
        self._source = source
        self._recipe = copy.deepcopy(dict(recipe)) if recipe is not None else None
        _refuse_unsupported(self._config, source.name)
        self._modules, self._extras = _index(self._config, source)

    @classmethod
    def load(cls, path: str | Path) -> Adapter:
        """Open a PEFT adapter's folder; reads its configuration and header, no tensor.

        Raises:
            AdapterError: if the folder does not hold a LoRA adapter in safetensors form.
        """
        folder = Path(path)
        if not folder.is_dir():
            found = "a file" if folder.exists() else "nothing"
            raise AdapterError(f"{folder}: expected an adapter's folder, found {found}")
        config = _read_json(folder / CONFIG_NAME)
        if not (folder / TENSORS_NAME).exists():
            if (folder / "adapter_model.bin").exists():
                raise AdapterError(
                    f"{folder / 'adapter_model.bin'}: pickled weights can run code when loaded; "
                    "load the adapter with peft where you trust it and call save_pretrained, "
                    f"which writes {TENSORS_NAME}"
                )
            raise AdapterError(f"{folder}: expected {TENSORS_NAME}, found no such file")
        recipe = folder / RECIPE_NAME
        return cls(
            config,
            FileTensors(folder / TENSORS_NAME),
            recipe=_read_json(recipe) if recipe.exists() else None,
        )

    @classmethod
    def from_factors(
        cls,
        factors: Mapping[str, LoraFactors],
        *,
        base_model: str | None = None,
        revision: str | None = None,
        task_type: str = "CAUSAL_LM",
        embeddings: Collection[str] = (),
        extras: Mapping[str, Tensor] | None = None,
        target_modules: Collection[str] | None = None,
        fan_in_fan_out: bool = False,
        recipe: Mapping[str, Any] | None = None,
    ) -> Adapter:
        """Make an adapter from factors in memory; the tensors are kept, not copied.

        Args:
            factors: the factors of each module, by the module's name in the base model.
            base_model: the base model's name or path.
            revision: the base model's revision.
            task_type: PEFT's task type, which decides the wrapper class that PEFT loads.
            embeddings: the modules of `factors` that are `nn.Embedding`s.
            extras: tensors beside the factors, by their name in a PEFT file (see `extras`).
            target_modules: PEFT's short form of the modules; their full names by default.
            fan_in_fan_out: whether the base stores its weights transposed (GPT-2's `Conv1D`).
            recipe: how the adapter was made; saved beside it.

        Raises:
            AdapterError: if there are no factors, or shapes that do not fit together.
        """
        if not factors:
            raise AdapterError("an adapter needs the factors of at least one module, found none")
        tensors = {_PREFIX + name: tensor for name, tensor in (extras or {}).items()}
        ranks, alphas = {}, {}
        for module, f in sorted(factors.items()):
            ranks[module] = rank = int(f.a.shape[0])
            alphas[module] = _alpha_of(f.scale, rank)
            tensors |= _to_peft(module, f, module in embeddings)
        config = {
            "peft_type": "LORA",
            "task_type": task_type,
            "base_model_name_or_path": base_model,
            "revision": revision,
            "inference_mode": True,
            "target_modules": sorted(target_modules or factors),
            "r": _most_common(ranks),
            "lora_alpha": _most_common(alphas),
            "rank_pattern": _pattern(ranks),
            "alpha_pattern": _pattern(alphas),
            "use_rslora": False,
            "use_dora": False,
            "lora_dropout": 0.0,
            "bias": "none",
            "fan_in_fan_out": fan_in_fan_out,
            "init_lora_weights": True,
            "modules_to_save": None,
        }
        return cls(config, MemoryTensors(tensors), recipe=recipe)

    @property
    def config(self) -> dict[str, Any]:
        """PEFT's `adapter_config.json`, as read (a copy)."""
        return copy.deepcopy(self._config)

    @property
    def recipe(self) -> dict[str, Any] | None:
        """How a merged adapter was made, or None."""
        return copy.deepcopy(self._recipe)

    def with_recipe(self, recipe: Mapping[str, Any]) -> Adapter:
        """Return the same adapter with another record of how it was made."""
        return Adapter(self._config, self._source, recipe)

    @property
    def source(self) -> str:
        """The tensor file's path, or `<memory>`; for messages."""
        return self._source.name

    @property
    def base_model(self) -> str | None:
        """The base model's name or path, as the configuration states it."""
        return self._config.get("base_model_name_or_path") or None

    @property
    def revision(self) -> str | None:
        """The base model's revision, as the configuration states it."""
        return self._config.get("revision") or None

    @cached_property
    def modules(self) -> tuple[str, ...]:
        """The adapted modules' names in the base model, sorted."""
        return tuple(sorted(self._modules))

    @cached_property
    def shapes(self) -> dict[str, ModuleShape]:
        """The sizes of each module's change."""
        return {module: self._modules[module].shape for module in self.modules}

    @cached_property
    def embeddings(self) -> frozenset[str]:
        """The adapted modules that are `nn.Embedding`s."""
        return frozenset(name for name, module in self._modules.items() if module.embedding)

    @property
    def headers(self) -> dict[str, TensorHeader]:
        """Dtype and shape of every tensor, by its name in the file."""
        return dict(self._source.headers)

    @property
    def extras(self) -> dict[str, TensorHeader]:
        """Tensors that are no LoRA factors, by name without PEFT's prefix.

        These are whole modules (`modules_to_save`), biases, trained tokens and copies of resized
        embeddings; they replace or add to tensors of the base rather than being `B @ A`.
        """
        return {name: self._source.headers[key] for name, key in sorted(self._extras.items())}

    def scale(self, module: str) -> float:
        """Return the scale of a module's change, without reading its tensors."""
        return self._modules[module].scale

    def factors(self, module: str) -> LoraFactors:
        """Read one module's factors.

        Raises:
            AdapterError: if a value is NaN or infinite, or the file changed since it was opened.
            KeyError: if the adapter has no such module.
        """
        found = self._modules[module]
        first, second = (self._read(key) for key in found.keys)
        if found.embedding:  # PEFT: delta = (embedding_B @ embedding_A)^T
            first, second = second.T, first.T
        return LoraFactors(a=first, b=second, scale=found.scale)

    def extra_tensor(self, name: str) -> Tensor:
        """Read one of `extras`."""
        return self._read(self._extras[name])

    def _read(self, key: str) -> Tensor:
        tensor = self._source.read(key)
        if not bool(torch.isfinite(tensor).all()):
            raise AdapterError(
                f"{self.source}: tensor '{key}' holds NaN or infinity; its training diverged, "
                "train the adapter again"
            )
        return tensor

    @cached_property
    def digest(self) -> str:
        """SHA-256 of what the adapter does: scales, layouts and the tensors' bytes.

        The place, the configuration's other values and the file's layout do not enter.
        """
        modules = {}
        for module in self.modules:
            f = self.factors(module)
            modules[module] = {
                "a": _digest_of_tensor(f.a),
                "b": _digest_of_tensor(f.b),
                "scale": f.scale,
                "embedding": module in self.embeddings,
            }
        extras = {name: _digest_of_tensor(self.extra_tensor(name)) for name in self.extras}
        transposed = bool(self._config.get("fan_in_fan_out"))
        return digest_of({"modules": modules, "extras": extras, "fan_in_fan_out": transposed})

    @property
    def norm(self) -> float:
        """The Frobenius norm of all changes together; reads every factor."""
        return self.distance(None)

    def distance(self, start: Adapter | None) -> float:
        """Return the Frobenius norm of how far all changes are from another adapter's.

        Args:
            start: an adapter of no other modules; None for one that changes nothing.
        """
        total = 0.0
        for module in self.modules:
            f = self.factors(module)
            b, a = f.b.double() * f.scale, f.a.double()
            if start is not None and module in start.shapes:
                s = start.factors(module)
                b = torch.cat([b, -s.b.double() * s.scale], dim=1)
                a = torch.cat([a, s.a.double()], dim=0)
            total += float(((b.T @ b) * (a @ a.T)).sum())
        return math.sqrt(max(total, 0.0))

    def save(self, folder: str | Path) -> Path:
        """Write the adapter as a standard PEFT folder; equal adapters give equal bytes.

        Each file is written under a temporary name and renamed, the configuration last, so that
        a folder with a configuration is complete.

        Returns:
            The folder.

        Raises:
            StorageError: if the folder cannot be written.
        """
        folder = Path(folder)
        headers = {_PREFIX + name: header for name, header in self.extras.items()}
        read = {_PREFIX + name: partial(self.extra_tensor, name) for name in self.extras}
        for module in self.modules:
            names = _peft_names(module, module in self.embeddings)
            for name, key in zip(names, self._modules[module].keys, strict=True):
                headers[name], read[name] = self._source.headers[key], partial(self._read, key)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with one_thread_per_operation():
                write_tensors(folder / TENSORS_NAME, headers, lambda name: read[name]())
            if self._recipe is not None:
                _write_json(folder / RECIPE_NAME, self._recipe)
            _write_json(folder / CONFIG_NAME, self._config)
        except OSError as error:
            raise StorageError(f"{folder}: the adapter cannot be written ({error})") from error
        return folder

    def __repr__(self) -> str:
        ranks = sorted({shape.rank for shape in self.shapes.values()})
        return f"Adapter({self.source!r}, {len(self.modules)} modules, ranks {ranks})"


def _refuse_unsupported(config: Mapping[str, Any], where: str) -> None:
    """Raise AdapterError for a configuration whose change is not `scale * B @ A` per module."""
    kind = config.get("peft_type")
    if kind != "LORA":
        raise AdapterError(f"{where}: peft_type is {kind!r}, expected 'LORA'")
    for key, reason in _UNSUPPORTED.items():
        if config.get(key):
            raise AdapterError(f"{where}: {key} is set, which langmerge does not support: {reason}")
    init = config.get("init_lora_weights")
    if isinstance(init, str) and init.lower().startswith(_BASE_CHANGING_INITS):
        raise AdapterError(
            f"{where}: init_lora_weights is {init!r}, which changes the base weights; save it with "
            "peft's save_pretrained(path_initial_model_for_weight_conversion=...) to get plain LoRA"
        )


def _index(config: Mapping[str, Any], source: _Source) -> tuple[dict[str, _Module], dict[str, str]]:
    """Sort the tensors of `source` into LoRA modules and extras (name -> key in the file)."""
    found: dict[str, dict[str, str]] = {}
    extras: dict[str, str] = {}
    for key, header in source.headers.items():
        name = key.removeprefix(_PREFIX)
        match = _FACTOR_NAME.fullmatch(name)
        if match:
            if header.dtype not in FLOAT_DTYPES:
                raise AdapterError(
                    f"{source.name}: tensor '{key}' has dtype {header.dtype}, "
                    f"expected one of {', '.join(FLOAT_DTYPES)}"
                )
            kind = "linear" if match["linear"] else "embedding"
            factor = match["linear"] or match["embedding"]
            found.setdefault(match["module"], {})[f"{kind} {factor}"] = key
        elif "lora_magnitude_vector" in name:
            raise AdapterError(f"{source.name}: tensor '{key}': {_UNSUPPORTED['use_dora']}")
        elif ".lora_A." in name or ".lora_embedding_" in name:
            raise AdapterError(
                f"{source.name}: tensor '{key}' is not named as PEFT saves LoRA factors "
                "('<module>.lora_A.weight'); save the adapter with save_pretrained"
            )
        else:
            extras[name] = key
    if not found:
        raise AdapterError(f"{source.name}: expected LoRA factors, found none")
    modules = {module: _describe(module, keys, config, source) for module, keys in found.items()}
    return modules, extras


def _describe(
    module: str, keys: Mapping[str, str], config: Mapping[str, Any], source: _Source
) -> _Module:
    """Check one module's headers against each other and the configuration."""
    embedding = "embedding A" in keys or "embedding B" in keys
    kind = "embedding" if embedding else "linear"
    if set(keys) != {f"{kind} A", f"{kind} B"}:
        raise AdapterError(
            f"{source.name}: module '{module}' has {' and '.join(sorted(keys))}, "
            "expected one A and one B"
        )
    a, b = (source.headers[keys[f"{kind} {factor}"]].shape for factor in "AB")
    if len(a) != 2 or len(b) != 2 or 0 in a + b:
        raise AdapterError(
            f"{source.name}: module '{module}' has factors of shapes {list(a)} and {list(b)}, "
            "expected two matrices (convolutions and unsharded pieces are not supported)"
        )
    if a[0] != b[1]:
        raise AdapterError(
            f"{source.name}: module '{module}' has A {list(a)} and B {list(b)}, "
            "expected A [rank, in] and B [out, rank]"
        )
    rank, scale = _rank_and_scale(module, config, source.name)
    if rank != a[0]:
        raise AdapterError(
            f"{source.name}: module '{module}' has rank {a[0]}, but {CONFIG_NAME} gives it rank "
            f"{rank}; correct 'r' or 'rank_pattern'"
        )
    rows, columns = (a[1], b[0]) if embedding else (b[0], a[1])
    names = keys[f"{kind} A"], keys[f"{kind} B"]
    return _Module(names, ModuleShape(rows, columns, rank), scale, embedding)


def _rank_and_scale(module: str, config: Mapping[str, Any], where: str) -> tuple[int, float]:
    """Return what PEFT would take as a module's rank and scale.

    As `peft.tuners.lora.LoraModel._create_and_replace`: the first pattern that matches the end of
    the module's name wins; the scale is alpha / r, or alpha / sqrt(r) with rslora.
    """
    rank = _by_pattern(module, config, "rank_pattern", "r", where)
    alpha = _by_pattern(module, config, "alpha_pattern", "lora_alpha", where)
    if rank != int(rank) or rank < 1:
        raise AdapterError(f"{where}: rank of module '{module}' is {rank}, expected 1 or more")
    rank = int(rank)
    return rank, alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank


def _by_pattern(
    module: str, config: Mapping[str, Any], pattern_key: str, default_key: str, where: str
) -> float:
    patterns = config.get(pattern_key) or {}
    if not isinstance(patterns, dict):
        raise AdapterError(f"{where}: {pattern_key} is {patterns!r}, expected a mapping")
    # PEFT's defaults for a configuration that does not state them.
    value = config.get(default_key, 8)
    for pattern, special in patterns.items():
        try:
            matched = re.match(rf"(.*\.)?({pattern})$", module)
        except re.error as error:
            raise AdapterError(
                f"{where}: {pattern_key} has '{pattern}', which is no regular expression ({error})"
            ) from error
        if matched:
            value = special
            break
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _HUGE:
        raise AdapterError(
            f"{where}: {default_key} of '{module}' is {value!r:.40}, expected a number"
        )
    return value


def _peft_names(module: str, embedding: bool) -> tuple[str, str]:
    """Return the names of a module's A and B in a PEFT file."""
    stem = f"{_PREFIX}{module}"
    if embedding:
        return f"{stem}.lora_embedding_A", f"{stem}.lora_embedding_B"
    return f"{stem}.lora_A.weight", f"{stem}.lora_B.weight"


def _to_peft(module: str, factors: LoraFactors, embedding: bool) -> dict[str, Tensor]:
    """Return a module's tensors as a PEFT file holds them."""
    a_name, b_name = _peft_names(module, embedding)
    a, b = (factors.b.T, factors.a.T) if embedding else (factors.a, factors.b)
    return {a_name: a.detach().contiguous(), b_name: b.detach().contiguous()}


def _alpha_of(scale: float, rank: int) -> float | int:
    """Return the alpha whose `alpha / rank` is nearest to `scale`; an int where it is whole."""
    alpha = scale * rank
    candidates = (alpha, math.nextafter(alpha, math.inf), math.nextafter(alpha, -math.inf))
    best = min(candidates, key=lambda value: abs(value / rank - scale))
    return int(best) if best.is_integer() else best


def _most_common(values: Mapping[str, float]) -> float:
    """Return the most frequent value, the largest of several."""
    counts = Counter(values.values())
    return max(counts, key=lambda value: (counts[value], value))


def _pattern(values: Mapping[str, float]) -> dict[str, float]:
    """Return the exceptions from the most common value, each by a regular expression for one name.

    PEFT also matches a pattern at the end of a longer name; `^` rules that out.
    """
    usual = _most_common(values)
    return {f"^{re.escape(name)}": value for name, value in values.items() if value != usual}


def _digest_of_tensor(tensor: Tensor) -> str:
    """Return the SHA-256 of a tensor's dtype, shape and bytes."""
    digest = hashlib.sha256(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
    digest.update(bytes_of(tensor))
    return digest.hexdigest()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = parse_json(path.read_text("utf-8"))
    except FileNotFoundError:
        raise AdapterError(f"{path.parent}: expected {path.name}, found no such file") from None
    except (OSError, ValueError) as error:
        raise AdapterError(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(value, dict):
        raise AdapterError(f"{path}: expected a JSON object, found {type(value).__name__}")
    return value


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    with Replacing(path) as temporary:
        text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
        temporary.write_text(text + "\n", "utf-8")
