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


def magnitude_prune(deltas, weights, density, lam=1.0):
    return linear([trim(d, density) for d in deltas], weights, lam)


def trim_over_the_model(modules, density):
    """Trim one adapter's modules (a dict) with one threshold for all of them."""
    whole = np.abs(np.concatenate([d.ravel() for d in modules.values()]))
    k = max(1, math.floor(density * whole.size))
    threshold = np.sort(whole)[::-1][k - 1]
    return {name: np.where(np.abs(d) >= threshold, d, 0.0) for name, d in modules.items()}


def orthogonalized(matrix):
    """The polar factor, by the square root of the Gram matrix rather than by an SVD."""
    values, vectors = np.linalg.eigh(matrix.T @ matrix)
    return matrix @ (vectors / np.sqrt(values)) @ vectors.T


def tsv_m(deltas, ranks, lam=1.0):
    parts = [np.linalg.svd(d, full_matrices=False) for d in deltas]
    parts = [(u[:, :k], s[:k], vt[:k]) for (u, s, vt), k in zip(parts, ranks, strict=True)]
    u = orthogonalized(np.concatenate([u for u, _, _ in parts], axis=1))
    v = orthogonalized(np.concatenate([vt.T for _, _, vt in parts], axis=1))
    s = np.concatenate([s for _, s, _ in parts])
    return lam * u @ np.diag(s) @ v.T


def iso_c(deltas, weights, lam=1.0):
    u, s, vt = np.linalg.svd(sum(w * d for w, d in zip(weights, deltas, strict=True)))
    rank = int((s > s[0] * 1e-6).sum())
    return lam * s[:rank].mean() * u[:, :rank] @ vt[:rank]


def pico(bs, as_, merge, lam=1.0):
    u, s, _ = np.linalg.svd(np.concatenate(bs, axis=1))
    c = np.zeros(u.shape[0])
    c[: s.size] = s**2 / (s**2).sum()
    weaken = u @ np.diag(1 / (1 + (len(bs) - 1) * c)) @ u.T
    merged = merge([weaken @ b @ a for b, a in zip(bs, as_, strict=True)])
    size = np.mean([np.linalg.norm(b @ a) for b, a in zip(bs, as_, strict=True)])
    return lam * merged * size / np.linalg.norm(merged)
