"""Each formula once more: dense, float64, plain NumPy, nothing shared with langmerge."""

from __future__ import annotations

import math

import numpy as np


def linear(deltas, weights, lam=1.0):
    return lam * sum(w * d for w, d in zip(weights, deltas, strict=True)) / sum(weights)


def task_arithmetic(deltas, weights, lam=1.0):
    return lam * sum(w * d for w, d in zip(weights, deltas, strict=True))


def trim(delta, density):
    k = max(1, math.floor(density * delta.size))
    threshold = np.sort(np.abs(delta).ravel())[::-1][k - 1]
    return np.where(np.abs(delta) >= threshold, delta, 0.0)


def elect_and_merge(deltas, weights, lam=1.0, normalize=True):
    elected = np.where(sum(w * d for w, d in zip(weights, deltas, strict=True)) >= 0, 1.0, -1.0)
    agree = [np.sign(d) == elected for d in deltas]
    total = sum(w * d * m for w, d, m in zip(weights, deltas, agree, strict=True))
    if not normalize:
        return lam * total
    count = sum(w * m for w, m in zip(weights, agree, strict=True))
    return lam * np.divide(total, count, out=np.zeros_like(total), where=count > 0)


def ties(deltas, weights, density, lam=1.0, normalize=True):
    return elect_and_merge([trim(d, density) for d in deltas], weights, lam, normalize)


def knots(deltas, merge):
    """`merge` applied to the aligned parts `S V_i^T`, mapped back."""
    u, s, vt = np.linalg.svd(np.concatenate(deltas, axis=1), full_matrices=False)
    kept = s > s[0] * 1e-6
    u, rest = u[:, kept], s[kept, None] * vt[kept]
    parts = np.split(rest, len(deltas), axis=1)
    return u @ merge(parts)


def core(bs, as_, merge):
    u, s, _ = np.linalg.svd(np.concatenate(bs, axis=1), full_matrices=False)
    u = u[:, s > s[0] * 1e-6]
    _, s, vt = np.linalg.svd(np.concatenate(as_, axis=0), full_matrices=False)
    v = vt[s > s[0] * 1e-6].T
    return u @ merge([u.T @ b @ a @ v for b, a in zip(bs, as_, strict=True)]) @ v.T
