"""Floating-point operations of training an adapter, and what a device could do at best."""

from __future__ import annotations

import math

import torch

from langmerge.model import BaseModel, features, is_linear
from langmerge.train.lora import Factors

_PEAKS = {
    "GB200": 2500e12,
    "B200": 2250e12,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "H800": 989e12,
    "GH200": 989e12,
    "A100": 312e12,
    "A800": 312e12,
    "L40S": 362e12,
    "L40": 181e12,
    "L4": 121e12,
    "A40": 150e12,
    "A10G": 70e12,
    "A10": 125e12,
    "RTX 6000 Ada": 364e12,
    "RTX 5090": 210e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
    "V100": 125e12,
    "T4": 65e12,
}
"""Dense bf16 (V100, T4: fp16) operations a second, from NVIDIA's data sheets, by a part of the
device's name; the first that is found counts."""


def peak_flops(device: torch.device) -> float | None:
    """Return the operations per second a device is built for; None where that is not known."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for part, peak in _PEAKS.items() if part in name), None)


def training_flops(base: BaseModel, factors: Factors, tokens: int, supervised: int) -> float:
    """Return the operations of a training, forward and backward.

    A frozen weight is used twice a token: forward, and backward for the gradient of its inputs; a
    trained one a third time, for its own. Each use is a multiplication and an addition. The scores
    of attention, below 2% at rows of 512 tokens, are left out, and so is what is computed twice.

    Args:
        base: the model.
        factors: of the adapter.
        tokens: that went through the model, without padding.
        supervised: tokens that went through the head.
    """
    head = base.model.get_output_embeddings()
    linear = sum(
        math.prod(features(module))
        for module in base.model.modules()
        if is_linear(module) and module is not head
    )
    trained = sum(found.a.numel() + found.b.numel() for found in factors.values())
    in_head = int(head.weight.numel())
    return 4.0 * linear * tokens + 6.0 * trained * tokens + 4.0 * in_head * supervised
