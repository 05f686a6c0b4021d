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


def keep_middle(delta, density, gamma):
    """Drop the `gamma` largest, then the smallest until `density` are left."""
    n = delta.size
    kept = max(1, int(density * n))
    top = min(int(gamma * n), n - kept)
    order = np.argsort(np.abs(delta).ravel())
    mask = np.zeros(n)
    mask[order[n - top - kept : n - top]] = 1.0
    return delta * mask.reshape(delta.shape)


def keep_probabilities(delta, density, epsilon):
    """DELLA's: linear in the rank of an entry within its row."""
    spread = min(epsilon, density, 1 - density)
    ranks = np.abs(delta).argsort(axis=1).argsort(axis=1)
    return density + spread * (2 * ranks / (delta.shape[1] - 1) - 1)


def model_stock(deltas, weights, lam=1.0):
    n = len(deltas)
    cosines = [
        (deltas[i] * deltas[j]).sum() / np.linalg.norm(deltas[i]) / np.linalg.norm(deltas[j])
        for i in range(n)
        for j in range(i)
    ]
    cos = max(0.0, np.mean(cosines))
    return n * cos / (1 + (n - 1) * cos) * linear(deltas, weights, lam)


def sce(deltas, weights, density, lam=1.0):
    stack = np.stack(deltas)
    if density < 1:
        variance = stack.var(axis=0)
        k = max(1, int(density * np.count_nonzero(variance)))
        stack = stack * (variance >= np.sort(variance.ravel())[-k])
    energies = [w * (d**2).sum() for w, d in zip(weights, stack, strict=True)]
    elected = np.where(sum(w * d for w, d in zip(weights, stack, strict=True)) >= 0, 1.0, -1.0)
    agree = [c * (np.sign(d) == elected) for c, d in zip(energies, stack, strict=True)]
    total = sum(a * d for a, d in zip(agree, stack, strict=True))
    count = sum(agree)
    return lam * np.divide(total, count, out=np.zeros_like(total), where=count > 0)


def svc(deltas, weights, floor, lam=1.0):
    total = sum(w * d for w, d in zip(weights, deltas, strict=True)) * len(weights) / sum(weights)
    u, s, vt = np.linalg.svd(total, full_matrices=False)
    kept = s > s[0] * 1e-6
    u, s, vt = u[:, kept], s[kept], vt[kept]
    shares = np.array(
        [
            [(u[:, j] @ total) @ (u[:, j] @ d) / ((u[:, j] @ d) ** 2).sum() for j in range(len(s))]
            for d in deltas
        ]
    )
    counts = np.where((shares > 0).all(axis=0), np.maximum(shares.mean(axis=0), floor), 1.0)
    return lam * u @ np.diag(s / counts) @ vt


def robust_merge(bs, as_, weights, density, raised, lam=1.0):
    """For adapters of one rank, as the authors' code prunes and scales."""
    scales = []
    for a in as_:
        s = np.abs(a).sum(axis=1) / np.abs(trim(a, density)).sum(axis=1)
        scales.append(np.maximum(s, np.sort(s)[min(int(raised * s.size), s.size - 1)]))
    total = sum(w * s for w, s in zip(weights, scales, strict=True))
    return lam * sum(
        trim(b, density) @ np.diag(w * s / total) @ trim(a, density)
        for b, a, w, s in zip(bs, as_, weights, scales, strict=True)
    )


def wudi_ridge(deltas, weights, ridge, lam=1.0):
    """The normal equations in the full space; the ridge is a share of the mean nonzero eigenvalue.

    `M G + mu M = N + mu mean` in the row space, and `M = 0` outside of it.
    """
    c = [w / (d**2).sum() for w, d in zip(weights, deltas, strict=True)]
    gram = sum(x * d.T @ d for x, d in zip(c, deltas, strict=True))
    right = sum(x * d @ d.T @ d for x, d in zip(c, deltas, strict=True))
    rows = np.concatenate(deltas)
    mu = ridge * np.trace(gram) / np.linalg.matrix_rank(rows)
    mean = linear(deltas, weights)
    return lam * (right + mu * mean) @ np.linalg.inv(gram + mu * np.eye(gram.shape[0]))


def compress_merge(deltas, merge, rank, beta, rounds=20):
    """HOSVD and HOOI on the dense task vectors."""

    def leading(parts):
        return np.linalg.eigh(sum(p @ p.T for p in parts))[1][:, -rank:]

    norms = [np.linalg.norm(d) for d in deltas]
    scaled = [
        d * (beta + (1 - beta) * np.mean(norms) / n) for d, n in zip(deltas, norms, strict=True)
    ]
    u, v = leading(scaled), leading([d.T for d in scaled])
    for _ in range(rounds):
        u = leading([d @ v for d in scaled])
        v = leading([d.T @ u for d in scaled])
    return u @ merge([u.T @ d @ v for d in deltas]) @ v.T


def ties_with_protection(deltas, weights, density, shares, slack, lam=1.0):
    """TIES in which the largest entries of some adapters keep their sign and most of their size."""
    trimmed = [trim(d, density) for d in deltas]
    guarded = [trim(d, q) if q else np.zeros_like(d) for d, q in zip(deltas, shares, strict=True)]
    vote = sum(w * g for w, g in zip(weights, guarded, strict=True))
    total = sum(w * t for w, t in zip(weights, trimmed, strict=True))
    elected = np.where(vote != 0, np.sign(vote), np.where(total >= 0, 1.0, -1.0))
    agree = [np.sign(t) == elected for t in trimmed]
    numerator = sum(w * t * m for w, t, m in zip(weights, trimmed, agree, strict=True))
    count = sum(w * m for w, m in zip(weights, agree, strict=True))
    mean = np.divide(numerator, count, out=np.zeros_like(numerator), where=count > 0)
    sizes = [np.where(np.sign(g) == np.sign(vote), np.abs(g), 0.0) for g in guarded]
    return lam * elected * np.maximum(np.abs(mean), (1 - slack) * np.max(sizes, axis=0))
