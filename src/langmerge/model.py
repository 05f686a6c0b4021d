"""The base model in memory: loaded once, frozen, adapters folded in and out."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, Cache
from transformers.pytorch_utils import Conv1D

from langmerge.adapter import Adapter
from langmerge.base import ResolvedBase
from langmerge.errors import (
    AdapterError,
    BaseModelError,
    MissingExtraError,
    StorageError,
    did_you_mean,
)
from langmerge.gguf_conversion import convert_gguf
from langmerge.quiet import quiet_transformers

__all__ = [
    "BaseModel",
    "convert_gguf",
    "folded",
    "load_base",
    "load_tokenizer",
    "save_merged_checkpoint",
]

Dtype = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True)
class BaseModel:
    """A frozen causal language model in eval mode, with its tokenizer.

    Attributes:
        model: a transformers model with a language modelling head.
        tokenizer: its tokenizer.
        resolved: what it was loaded from.
    """

    model: Any  # a PreTrainedModel; transformers types only a part of it
    tokenizer: Any
    resolved: ResolvedBase

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return torch.device(self.model.device)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the weights."""
        dtype: torch.dtype = self.model.dtype
        return dtype

    @property
    def vocabulary_size(self) -> int:
        """How many logits each position has."""
        return int(self.model.get_output_embeddings().weight.shape[0])

    def hidden_states(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past: Cache | None = None,
    ) -> Tensor:
        """Run the model up to its head.

        Right-padded sequences need no mask: attention is causal, so no token sees the padding
        after it, and what stands at the padding is not used.

        Args:
            input_ids: `[batch, length]`.
            attention_mask: None for causal attention, else `[batch, 1, length, keys]`, bool; the
                keys are those of `past` and then the sequence's own.
            position_ids: `[batch, length]`; None counts on from `past`, or from 0.
            past: keys and values of what precedes every sequence; those of the sequences are
                appended to it.

        Returns:
            `[batch, length, hidden]`, in the model's dtype.
        """
        body = self.model.base_model
        output = body(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past,
            use_cache=past is not None,
        )
        hidden: Tensor = output.last_hidden_state
        return hidden

    def logits(self, hidden: Tensor, part: slice = slice(None)) -> Tensor:
        """Return the logits of hidden states `[..., hidden]`: `[..., vocabulary]`, at least fp32.

        The vocabulary is large: pass only the positions that are needed, or ask for a part of it.
        """
        head = self.model.get_output_embeddings()
        # An adapter in training acts by a hook, which only a call of the module runs.
        if part != slice(None) and type(head) is nn.Linear and not head._forward_hooks:
            bias = None if head.bias is None else head.bias[part]
            logits = nn.functional.linear(hidden, head.weight[part], bias)
        else:
            logits = head(hidden)[..., part]
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        # What some architectures do to their logits after the head.
        config = self.model.config.get_text_config()
        if scale := getattr(config, "logit_scale", None):  # Cohere
            logits = logits * scale
        if divisor := getattr(config, "logits_scaling", None):  # Granite
            logits = logits / divisor
        if cap := getattr(config, "final_logit_softcapping", None):  # Gemma 2
            logits = torch.tanh(logits / cap) * cap
        return logits

    def module(self, name: str) -> nn.Module:
        """Return a submodule by its name; PEFT's prefix is allowed.

        Raises:
            AdapterError: if the model has no such module.
        """
        name = name.removeprefix("base_model.model.")
        try:
            module: nn.Module = self.model.get_submodule(name)
        except AttributeError:
            known = [name for name, found in self.model.named_modules() if is_linear(found)]
            raise AdapterError(
                f"the base {self.resolved.name} has no module '{name}'; "
                f"was the adapter made for another base?{did_you_mean(name, known)}"
            ) from None
        return module


def load_base(
    resolved: ResolvedBase,
    device: str = "auto",
    dtype: Dtype = "auto",
    *,
    device_map: str | Mapping[str, str | int] | None = None,
    load_in_4bit: bool = False,
) -> BaseModel:
    """Load a base model and its tokenizer, frozen and in eval mode; no remote code is run.

    A GGUF file is converted first, if `resolved.checkpoint` does not hold its conversion yet.

    Args:
        resolved: what `langmerge.base.resolve_base` found.
        device: torch's name of a device; `auto` takes a GPU where there is one.
        dtype: `auto` is bfloat16 on a GPU and float32 on a CPU.
        device_map: spreads the layers over several devices, as accelerate does (`auto`, or a device
            for each module); adapters are trained over it, but not folded into it. None: `device`.
        load_in_4bit: rounds the weights of linear layers but the head to bitsandbytes' NF4 (QLoRA,
            https://arxiv.org/abs/2305.14314) and computes in `dtype`; adapters are trained over
            it, but not folded into it.

    Raises:
        BaseModelError: if it cannot be loaded, or is no causal language model with plain weights.
        MissingExtraError: if bitsandbytes is asked for and not installed.
    """
    place = torch.device(_best_device() if device == "auto" else device)
    if dtype == "auto":
        dtype = "float32" if place.type == "cpu" else "bfloat16"
    quantization = _in_4bit(dtype) if load_in_4bit else {}
    if load_in_4bit and device_map is None:
        device_map = str(place)  # Weights are rounded where they come to be.
    tokenizer = load_tokenizer(resolved)
    with _loading(resolved) as source:
        _refuse_quantized(AutoConfig.from_pretrained(**source), resolved)
        model: Any = AutoModelForCausalLM.from_pretrained(
            **source,
            **quantization,
            dtype=getattr(torch, dtype),
            use_safetensors=True,
            device_map=device_map,
        )
    _refuse_unfit(model, tokenizer, resolved)
    if device_map is None:
        model = model.to(place)
    if load_in_4bit:
        _keep_gradients(model)
    base = BaseModel(model.requires_grad_(False).eval(), tokenizer, resolved)
    refuse_unknown_head(base)
    return base


def load_skeleton(resolved: ResolvedBase) -> BaseModel:
    """Load a base without its weights: enough to know its modules, in a moment.

    Raises:
        BaseModelError: if its configuration cannot be loaded.
    """
    tokenizer = load_tokenizer(resolved)
    with _loading(resolved) as source, torch.device("meta"):
        auto: Any = AutoModelForCausalLM
        model = auto.from_config(AutoConfig.from_pretrained(**source))
    return BaseModel(model, tokenizer, resolved)


def load_tokenizer(resolved: ResolvedBase) -> Any:
    """Load a base model's tokenizer alone.

    Raises:
        BaseModelError: if it cannot be loaded.
    """
    with _loading(resolved) as source:
        return AutoTokenizer.from_pretrained(**source)


@contextmanager
def _loading(resolved: ResolvedBase) -> Iterator[dict[str, str]]:
    """Yield what `from_pretrained` needs to find a base; turn its failures into our own."""
    location = resolved.location
    if resolved.checkpoint is not None:
        location = convert_gguf(Path(location), resolved.checkpoint)
    source = {"pretrained_model_name_or_path": str(location)}
    if resolved.revision is not None:
        source["revision"] = resolved.revision
    try:
        with quiet_transformers():
            yield source
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().partition("\n")[0]
        fix = (
            "check the id and the revision, the network, and access with `hf auth login`"
            if resolved.kind == "hub"
            else "expected a causal language model saved by transformers' save_pretrained"
        )
        raise BaseModelError(f"base {resolved.name}: cannot be loaded ({reason}); {fix}") from error


def _best_device() -> str:
    if not torch.cuda.is_available():
        return "cpu"
    rank = os.environ.get("LOCAL_RANK")  # of several processes, each with a GPU of its own
    return "cuda" if rank is None else f"cuda:{rank}"


def _in_4bit(dtype: str) -> dict[str, Any]:
    """Return what `from_pretrained` needs to round linear layers to 4 bits while it loads."""
    if importlib.util.find_spec("bitsandbytes") is None:
        raise MissingExtraError("bitsandbytes", "quantized", "train.load_in_4bit")
    nf4: Any = BitsAndBytesConfig  # untyped
    compute = getattr(torch, dtype)
    return {
        "quantization_config": nf4(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=compute
        )
    }


def _keep_gradients(model: Any) -> None:
    """Keep bitsandbytes from repacking weights where no gradient is needed at the moment.

    In eval mode it does so on CPUs with AVX512-BF16, and the layer stays so: no gradient passes
    through it any more, without an error.
    """
    for module in model.modules():
        if getattr(module, "support_avx512bf16_for_cpu", False):
            module.support_avx512bf16_for_cpu = False


def _refuse_quantized(config: Any, resolved: ResolvedBase) -> None:
    """Raise if a checkpoint holds quantized weights: what they were rounded from is needed."""
    if getattr(config, "quantization_config", None):
        raise BaseModelError(
            f"base {resolved.name}: its weights are quantized, so no adapter can be added to "
            f"them; use the checkpoint it was quantized from"
        )


def _refuse_unfit(model: Any, tokenizer: Any, resolved: ResolvedBase) -> None:
    rows = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        raise BaseModelError(
            f"base {resolved.name}: the tokenizer has {len(tokenizer)} tokens and the model "
            f"embeds {rows}; use the tokenizer that belongs to the model"
        )


def refuse_unknown_head(base: BaseModel) -> None:
    """Check on two tokens that `BaseModel.logits` is all this architecture does after its body.

    Raises:
        BaseModelError: if the model's own logits are others.
    """
    input_ids = torch.tensor([[1, 2]], device=base.device)
    with torch.inference_mode():
        found = base.logits(base.hidden_states(input_ids))
        expected = base.model(input_ids=input_ids, use_cache=False).logits.float()
    if not torch.allclose(found, expected, atol=0.01 * float(expected.abs().max())):
        raise BaseModelError(
            f"base {base.resolved.name}: {type(base.model).__name__} computes its logits in a way "
            f"langmerge does not know; use a base of another architecture, and report this one"
        )


@contextmanager
def folded(base: BaseModel, adapter: Adapter | None) -> Iterator[BaseModel]:
    """Give the base an adapter's weights inside the block: `W + scale * B @ A` instead of `W`.

    Each change is computed in fp32 and rounded once to the dtype of the weight. The original
    parameters are put aside, not copied, and come back as they were. A weight that two modules
    share changes only in the module that the adapter names.

    Args:
        base: the base model; the one that is yielded.
        adapter: None leaves the base as it is.

    Raises:
        AdapterError: if the base lacks one of the adapter's modules, or its shape is another.
    """
    with changed(_changes(base, adapter) if adapter is not None else ()):
        yield base


@contextmanager
def changed(changes: Iterable[tuple[nn.Module, Tensor]]) -> Iterator[None]:
    """Add changes to modules' weights inside the block, as `folded` does those of an adapter.

    Args:
        changes: modules, each with what is added to its weight: fp32, of the weight's shape and on
            its device.
    """
    originals: list[tuple[nn.Module, nn.Parameter]] = []
    try:
        for module, change in changes:
            weight: nn.Parameter = module.weight  # type: ignore[assignment]
            originals.append((module, weight))
            new = (weight.float() + change).to(weight.dtype)
            module.weight = nn.Parameter(new, requires_grad=False)
        yield
    finally:
        for module, weight in originals:
            module.weight = weight


def refuse_unfit_adapter(base: BaseModel, adapter: Adapter) -> None:
    """Check that an adapter can be folded into a base; a skeleton will do.

    Raises:
        AdapterError: if the base lacks one of the adapter's modules, or its shape is another.
    """
    for _ in _adapted(base, adapter):
        pass


def _changes(base: BaseModel, adapter: Adapter) -> Iterator[tuple[nn.Module, Tensor]]:
    """Yield each adapted module with the change of its weight, fp32, on the base's device."""
    for name, module in _adapted(base, adapter):
        factors = adapter.factors(name)
        change = type(factors)(
            factors.a.to(base.device), factors.b.to(base.device), factors.scale
        ).delta(torch.float32)
        yield module, change.T if isinstance(module, Conv1D) else change


def _adapted(base: BaseModel, adapter: Adapter) -> Iterator[tuple[str, nn.Module]]:
    """Yield each adapted module's name and the base's module, which it fits."""
    if adapter.extras:
        raise AdapterError(
            f"{adapter.source}: holds more than LoRA factors ('{next(iter(adapter.extras))}'), "
            f"which cannot be added to the base; train without modules_to_save and bias"
        )
    for name, shape in adapter.shapes.items():
        module = base.module(name)
        weight = getattr(module, "weight", None)
        if not isinstance(weight, nn.Parameter) or weight.dim() != 2:
            raise AdapterError(
                f"{adapter.source}: '{name}' is a {type(module).__name__} in the base; "
                f"expected a linear layer or an embedding"
            )
        if not weight.is_floating_point():
            raise AdapterError(
                f"{adapter.source}: '{name}' is quantized in the base in memory, and a change is "
                f"added to plain weights; load the base without load_in_4bit"
            )
        change = (shape.out_features, shape.in_features)
        change = change[::-1] if isinstance(module, Conv1D) else change
        if change != weight.shape:
            raise AdapterError(
                f"{adapter.source}: '{name}' changes a weight of {change}, the "
                f"base's is {tuple(weight.shape)}; was the adapter made for another base?"
            )
        yield name, module


def save_merged_checkpoint(base: BaseModel, adapter: Adapter, folder: Path) -> Path:
    """Write base plus adapter as a full checkpoint that plain transformers loads.

    Args:
        base: the base model; unchanged afterwards.
        adapter: usually a merged one.
        folder: is created; safetensors, configuration and tokenizer go there.

    Returns:
        `folder`.

    Raises:
        AdapterError: as `folded`, or if the adapter changes only one of two tied weights, which
            one checkpoint cannot hold.
    """
    _refuse_tied(base, adapter)
    with folded(base, adapter), quiet_transformers():
        try:
            base.model.save_pretrained(folder)
            base.tokenizer.save_pretrained(folder)
        except SafetensorError as error:
            raise StorageError(
                f"{folder}: cannot be written ({error}); is the disk full?"
            ) from error
    return folder


def _refuse_tied(base: BaseModel, adapter: Adapter) -> None:
    owners: dict[int, list[str]] = {}
    for name, parameter in base.model.named_parameters(remove_duplicate=False):
        owners.setdefault(id(parameter), []).append(name)
    for module in adapter.modules:
        shared = owners.get(id(getattr(base.module(module), "weight", None)), [])
        if len(shared) > 1:
            raise AdapterError(
                f"{adapter.source}: changes '{module}', whose weight is tied "
                f"({' = '.join(shared)}); a checkpoint holds it once, so train without it"
            )


def held_together(base: BaseModel) -> dict[str, int]:
    """Return the parameters that hold many weights in one block, and how many numbers they have.

    Mixtures of experts keep all experts of a layer in one tensor `[experts, out, in]`, which is no
    module of its own, so that no adapter can be put on it.
    """
    return {
        name: parameter.numel()
        for name, parameter in base.model.named_parameters()
        if parameter.dim() == 3
    }


def is_linear(module: nn.Module) -> bool:
    """Whether a module multiplies by a matrix: a linear layer, or GPT-2's transposed one."""
    return isinstance(module, nn.Linear | Conv1D)


def features(module: nn.Module) -> tuple[int, int]:
    """Return how many outputs and inputs a linear module has.

    The shape of its weight does not say so where that is quantized, which packs it.
    """
    if isinstance(module, Conv1D):
        return int(module.nf), int(module.nx)
    assert isinstance(module, nn.Linear)
    return module.out_features, module.in_features
