"""The base's decoder layers compiled while they train, one by one, and undone afterwards.

What adapters add of several languages' tokens, or with dropout, and attention to packed rows stay
as they are: their shapes are others in every step.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import nn

from langmerge.errors import UserError
from langmerge.model import BaseModel

Function = TypeVar("Function", bound=Callable[..., Any])

_BACKEND = "inductor"
_VARIANTS = 16
"""Forms of a layer at most: with gradients and without, one adapter or several, windows."""


class CompileClock:
    """Counts the seconds that compiling takes.

    Attributes:
        seconds: so far.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._since = 0.0

    def begin(self, *_of: object) -> None:
        """Compiling begins; torch calls this."""
        self._since = time.monotonic()

    def end(self, *_of: object) -> None:
        """Compiling ends."""
        self.seconds += time.monotonic() - self._since

    def taken(self) -> float:
        """Return the seconds since the last call."""
        seconds, self.seconds = self.seconds, 0.0
        return seconds


@contextmanager
def compiled_layers(base: BaseModel) -> Iterator[CompileClock]:
    """Let the base's decoder layers run compiled inside the block; yield what counts their time.

    Raises:
        UserError: if nothing can be compiled here, or the base has no list of layers.
    """
    from torch import _dynamo as dynamo
    from torch._dynamo.callback import callback_handler

    layers = _layers(base)
    dynamo.reset()  # A form that was compiled before has other adapters' hooks in it.
    _refuse_without_compiler(base)
    clock = CompileClock()
    callback_handler.register_start_callback(clock.begin)
    callback_handler.register_end_callback(clock.end)
    limit = _VARIANTS * len(layers)
    limits: dict[str, Any] = {"recompile_limit": limit, "accumulated_recompile_limit": 4 * limit}
    try:
        with dynamo.config.patch(limits):
            for layer in layers:
                layer.compile(dynamic=True, backend=_BACKEND)
            yield clock
    finally:
        for layer in layers:
            layer._compiled_call_impl = None
        callback_handler.remove_start_callback(clock.begin)
        callback_handler.remove_end_callback(clock.end)
        dynamo.reset()


def uncompiled(function: Function) -> Function:
    """Mark a function as one that compiled layers call as it is."""
    disabled: Function = torch.compiler.disable(function)  # type: ignore[no-untyped-call]
    return disabled


def _layers(base: BaseModel) -> nn.ModuleList:
    count = base.model.config.get_text_config().num_hidden_layers
    for module in base.model.base_model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return module
    raise UserError(
        f"train.torch_compile: {base.resolved.name} has no list of {count} layers to compile; "
        f"leave it out"
    )


def _refuse_without_compiler(base: BaseModel) -> None:
    """Compile something small: what is missing shows in many ways, and here before training."""
    try:
        torch.compile(_twice, backend=_BACKEND)(torch.ones(8, device=base.device))
    except Exception as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        reason = lines[0] if lines else type(error).__name__
        raise UserError(
            f"train.torch_compile: torch.compile cannot run here ({reason}); install a C++ "
            f"compiler (on a GPU also triton), or leave it out"
        ) from error


def _twice(x: torch.Tensor) -> torch.Tensor:
    return x + x
