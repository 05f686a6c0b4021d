"""Merging into the base: adapters and a base checkpoint in, a full checkpoint out.

The checkpoint is streamed tensor by tensor: memory holds a few tensors at a time, whatever the
size of the model. `base + merged change` is computed in fp32 and rounded once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from langmerge.adapter import RECIPE_NAME, Adapter
from langmerge.canonical import digest_of
from langmerge.errors import MergeError, StorageError
from langmerge.merging.checkpoint import Checkpoint, refuse_unwritable
from langmerge.merging.engine import at_rank
from langmerge.merging.merger import Merger
from langmerge.merging.threads import map_threads
from langmerge.merging.vectors import Product
from langmerge.tensors import Replacing, TensorHeader, bytes_of, write_tensors, written_order


def into_model(
    adapters: Sequence[Adapter | str | Path],
    base: str | Path,
    out: str | Path,
    method: str,
    options: Mapping[str, Any],
    *,
    on_progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
    device: str = "cpu",
    ancestor: Adapter | str | Path | None = None,
) -> Path:
    """Merge adapters and write base plus merge as a checkpoint; see `langmerge.merging.into_model`.

    Args:
        adapters: the adapters, or their folders.
        base: the folder of the base model's checkpoint.
        out: the folder to write; it must be empty or absent.
        method: a method's name or alias.
        options: the method's parameters, and weights, rank, space, seed and profile.
        on_progress: called with (tensors done, tensors in all).
        workers: how many tensors are merged at a time; as many as there are cores by default.
        device: where the modules are merged.
        ancestor: the adapter that all of them started from.
    """
    checkpoint, folder = Checkpoint(base), Path(out)
    refuse_unwritable(folder, checkpoint.size)
    merger = Merger(adapters, method, options, workers, device, ancestor=ancestor)
    plan = _Plan(checkpoint, merger)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        digests = _write_weights(plan, folder, on_progress)
        checkpoint.write_index(folder, plan.headers)
        record = merger.provenance() | {"base": {"path": str(base), "weights": digest_of(digests)}}
        with Replacing(folder / RECIPE_NAME) as temporary:
            text = json.dumps(record, indent=2, sort_keys=True, ensure_ascii=False)
            temporary.write_text(text + "\n", "utf-8")
        checkpoint.copy_other_files(folder, untie=plan.untied)
    except OSError as error:
        raise StorageError(f"{folder}: the checkpoint cannot be written ({error})") from error
    return folder


class _Plan:
    """What happens to each tensor of the checkpoint.

    Attributes:
        headers: the tensors of the output, by file.
        untied: whether embedding and head, one tensor in the base, become two.
    """

    def __init__(self, checkpoint: Checkpoint, merger: Merger) -> None:
        self.checkpoint = checkpoint
        self.merger = merger
        self._module_of = {checkpoint.weight_of(module): module for module in merger.modules}
        self._replaced = {_plain(name): name for name in merger.extras}
        self._transposed = bool(merger.adapters[0].config.get("fan_in_fan_out"))
        tied = checkpoint.tied
        changed = self._module_of.keys() | self._replaced.keys()
        self.untied = tied is not None and not changed.isdisjoint(tied)
        self._source = {tied[1]: tied[0]} if tied is not None and self.untied else {}
        self.headers = {name: dict(file.headers) for name, file in checkpoint.files.items()}
        for new, source in self._source.items():
            self.headers[checkpoint.file_of(source)][new] = checkpoint.header(source)
        self._refuse_misfits()

    def source(self, tensor: str) -> str:
        """Return the tensor of the base that an output tensor starts from."""
        return self._source.get(tensor, tensor)

    def weight(self, tensor: str, original: Tensor) -> Tensor:
        """Return an output tensor, given the one of the base."""
        dtype = original.dtype
        if tensor in self._replaced:  # PEFT saves copies of resized embeddings, and adds to them
            original = self.merger.extras[self._replaced[tensor]]
        if tensor not in self._module_of:
            return original.to(dtype)
        merged = self.merger.module(self._module_of[tensor])
        if self.merger.recipe.rank != "full":
            merged = at_rank(merged, self.merger.recipe.rank).product
        if isinstance(merged, Product):
            merged = merged.b @ merged.a
        change = merged.T if self._transposed else merged
        # The sum is in the wider of both dtypes, at least fp32; it is rounded once.
        changed = torch.add(original.to(change.device), change).to(dtype).cpu()
        if not bool(torch.isfinite(changed).all()):
            raise MergeError(
                f"base {self.checkpoint.folder}: '{tensor}' plus the merge is beyond what {dtype} "
                "can hold, or not finite in the base; lower 'lambda', or use a base in bfloat16"
            )
        return changed

    def _refuse_misfits(self) -> None:
        for tensor, module in self._module_of.items():
            shape = self.checkpoint.header(self.source(tensor)).shape
            shapes = next(a.shapes for a in self.merger.adapters if module in a.shapes)
            rows, columns = shapes[module][:2]
            expected = (columns, rows) if self._transposed else (rows, columns)
            if shape != expected:
                raise MergeError(
                    f"base {self.checkpoint.folder}: '{tensor}' is {_size(shape)}, but the "
                    f"adapters change {_size(expected)}; they were made for another base, or "
                    "for one with added tokens"
                )
        for tensor, name in self._replaced.items():
            source = self.source(tensor)
            if source not in self.checkpoint.names:
                raise MergeError(
                    f"the adapters carry '{name}', and the base {self.checkpoint.folder} has no "
                    "tensor of that name to replace"
                )
            found, new = self.checkpoint.header(source).shape, self.merger.extras[name].shape
            if found != tuple(new):
                raise MergeError(
                    f"base {self.checkpoint.folder}: '{tensor}' is {_size(found)}, but the "
                    f"adapters' is {_size(tuple(new))}; use the base with the added tokens"
                )


def _write_weights(
    plan: _Plan, folder: Path, on_progress: Callable[[int, int], None] | None
) -> dict[str, str]:
    """Write every file of the checkpoint; return the digests of the base's tensors."""
    digests: dict[str, str] = {}
    total = sum(len(headers) for headers in plan.headers.values())

    def compute(tensor: str) -> Tensor:
        original = plan.checkpoint.read(plan.source(tensor))
        digests[plan.source(tensor)] = hashlib.sha256(bytes_of(original)).hexdigest()
        return plan.weight(tensor, original)

    done = 0
    for file, headers in plan.headers.items():
        tensors = _results(compute, headers, plan.merger.workers)

        def next_tensor(name: str, tensors: Iterator[Tensor] = tensors) -> Tensor:
            nonlocal done
            tensor = next(tensors)
            done += 1
            if on_progress is not None:
                on_progress(done, total)
            return tensor

        write_tensors(folder / file, headers, next_tensor)
    return digests


def _results(
    compute: Callable[[str], Tensor], headers: Mapping[str, TensorHeader], workers: int
) -> Iterator[Tensor]:
    """Yield tensors in the order in which they are written, computed a few ahead."""
    return map_threads(compute, written_order(headers), workers)


def _plain(name: str) -> str:
    """Return the base's name of a tensor that PEFT saved from a wrapped module."""
    return name.replace(".base_layer.", ".").replace(".modules_to_save.default.", ".")


def _size(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
