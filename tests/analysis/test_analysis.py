"""Every quantity against a dense float64 oracle, and what must not change it."""

import itertools
import json
import math

import numpy as np
import pytest
import torch

from langmerge.adapter import Adapter, LoraFactors
from langmerge.analysis import Analysis, analyze
from langmerge.errors import AdapterError, MergeError
from langmerge.merging import merge
from langmerge.merging.engine import MergeWarning

# Two layers, two types, ranks that differ by module, and a head outside of any layer; one module
# is larger than a tile, so that counts are added up over tiles.
SHAPES = {
    "layers.0.attn.q": (12, 8, 3),
    "layers.0.mlp.down": (7, 15, 2),
    "layers.1.attn.q": (12, 8, 4),
    "layers.1.mlp.down": (300, 530, 2),
    "head": (9, 6, 6),
}
# The second adapter misses one module, the third another.
MISSING = {"de": (), "fr": ("layers.1.attn.q",), "ja": ("head",)}
DENSITY = 0.3


def factors_of(seed, missing=(), scale=1.0):
    draw = torch.Generator().manual_seed(seed)
    made = {}
    for module, (rows, columns, rank) in SHAPES.items():
        # A common part, so that cosines are not all near 0.
        common = torch.Generator().manual_seed(99)
        b, a = (
            torch.randn(*size, generator=draw) + torch.randn(*size, generator=common)
            for size in ((rows, rank), (rank, columns))
        )
        made[module] = LoraFactors(a=a, b=b, scale=scale)
    return {module: f for module, f in made.items() if module not in missing}


@pytest.fixture(scope="module")
def factors():
    return {
        name: factors_of(i, missing, scale=0.5 + i)
        for i, (name, missing) in enumerate(MISSING.items())
    }


@pytest.fixture(scope="module")
def adapters(factors):
    return {name: Adapter.from_factors(f, base_model="toy") for name, f in factors.items()}


@pytest.fixture(scope="module")
def merged(adapters):
    with pytest.warns(MergeWarning, match="keeps"):
        return merge(list(adapters.values()), "ties", density=0.5, rank=2)


@pytest.fixture(scope="module")
def analysis(adapters, merged) -> Analysis:
    return analyze(adapters, merged=merged, density=DENSITY)


@pytest.fixture(scope="module")
def dense(adapters):
    return {name: dense_of(adapter) for name, adapter in adapters.items()}


def dense_of(adapter):
    """All modules' task vectors as float64 arrays; zeros where the adapter has none."""
    return {
        module: (
            adapter.factors(module).delta(torch.float64).numpy()
            if module in adapter.shapes
            else np.zeros((rows, columns))
        )
        for module, (rows, columns, _) in SHAPES.items()
    }


def flat(deltas, modules=tuple(SHAPES)):
    return np.concatenate([deltas[module].ravel() for module in modules])


def cosines_of(dense, modules=tuple(SHAPES)):
    vectors = [flat(deltas, modules) for deltas in dense.values()]
    return [[x @ y / np.linalg.norm(x) / np.linalg.norm(y) for y in vectors] for x in vectors]


def trimmed(delta, density):
    k = max(1, math.floor(density * delta.size))
    threshold = np.sort(np.abs(delta).ravel())[-k]
    return np.where(np.abs(delta) >= threshold, delta, 0.0)


def close(found, expected, rtol=1e-9):
    np.testing.assert_allclose(np.array(found, dtype=float), np.array(expected), rtol, 1e-12)


def assert_alike(one: Analysis, two: Analysis, rtol=1e-5):
    """Two analyses hold the same numbers."""
    left, right = (flatten(x.to_json()) for x in (one, two))
    assert left.keys() == right.keys()
    for key, value in left.items():
        if isinstance(value, float):
            assert value == pytest.approx(right[key], rel=rtol, abs=rtol), key
        else:
            assert value == right[key], key


def flatten(value, path=()):
    if isinstance(value, dict):
        children = value.items()
    elif isinstance(value, list | tuple):
        children = enumerate(value)
    else:
        return {path: value}
    return {k: v for key, child in children for k, v in flatten(child, (*path, key)).items()}


def test_norms_and_cosines(analysis, dense) -> None:
    close(analysis.whole.norms, [np.linalg.norm(flat(d)) for d in dense.values()])
    close(analysis.whole.cosines, cosines_of(dense))


def test_cosines_by_layer_and_type(analysis, dense) -> None:
    assert list(analysis.layers) == ["layers.0", "layers.1"]
    assert list(analysis.types) == ["attn.q", "head", "mlp.down"]
    close(
        analysis.layers["layers.1"].cosines,
        cosines_of(dense, ("layers.1.attn.q", "layers.1.mlp.down")),
    )
    close(
        analysis.types["mlp.down"].cosines,
        cosines_of(dense, ("layers.0.mlp.down", "layers.1.mlp.down")),
    )


def test_a_missing_module_has_norm_zero_and_no_cosine(analysis) -> None:
    head = analysis.types["head"]
    assert head.norms[2] == 0
    assert head.cosines[0][2] is None
    assert head.cosines[2][2] is None
    assert head.cosines[0][1] is not None


@pytest.mark.parametrize("density", [0.1, DENSITY, 1.0])
def test_signs(adapters, dense, density) -> None:
    found = analyze(adapters, density=density).signs
    signs = np.array(
        [
            np.concatenate([np.sign(trimmed(d[m], density)).ravel() for m in SHAPES])
            if density < 1
            else np.sign(flat(d))
            for d in dense.values()
        ]
    )
    # Trimming a module of zeros keeps nothing, for zeros have no sign.
    for i, j in itertools.combinations(range(3), 2):
        both = (signs[i] != 0) & (signs[j] != 0)
        assert found.agreement[i][j] == pytest.approx((signs[i] == signs[j])[both].mean(), abs=1e-4)
    kept_by = np.abs(signs).sum(0)
    contested = kept_by >= 2
    conflict = (signs == 1).any(0) & (signs == -1).any(0)
    assert found.conflict == pytest.approx(conflict[contested].mean(), abs=1e-4)
    assert found.contested == pytest.approx(contested.mean(), abs=1e-4)
    by_chance = np.where(kept_by == 2, 0.5, 0.75)[contested].mean()
    assert found.conflict_by_chance == pytest.approx(by_chance, abs=1e-4)


def test_signs_of_unrelated_adapters_agree_by_chance() -> None:
    def unrelated(seed):
        draw = torch.Generator().manual_seed(seed)
        a, b = (torch.randn(*size, generator=draw) for size in ((64, 300), (200, 64)))
        return Adapter.from_factors({"m": LoraFactors(a=a, b=b)})

    found = analyze({str(i): unrelated(i) for i in range(4)}, density=0.5).signs
    assert found.agreement[0][1] == pytest.approx(0.5, abs=0.03)
    assert found.conflict == pytest.approx(found.conflict_by_chance, abs=0.03)


def test_no_signs_without_a_density(adapters) -> None:
    assert analyze(adapters, density=None).signs is None


@pytest.mark.parametrize("side", ["column", "row"])
def test_overlap_is_the_mean_squared_cosine_of_principal_angles(analysis, dense, side) -> None:
    from scipy.linalg import subspace_angles

    found = getattr(analysis, f"{side}_overlap")
    everything = list(dense.values())
    for i, j in itertools.combinations(range(3), 2):
        squares, expected = [], []
        for module in SHAPES:
            x, y = (basis(everything[k][module], side) for k in (i, j))
            if x.size and y.size:
                squares.extend(np.cos(subspace_angles(x, y)) ** 2)
                expected.append(x.shape[1] * y.shape[1] / x.shape[0])
        assert found.mean_squared_cosine[i][j] == pytest.approx(np.mean(squares), rel=1e-6)
        assert found.by_chance[i][j] == pytest.approx(sum(expected) / len(squares))


def basis(delta, side):
    u, s, v_t = np.linalg.svd(delta, full_matrices=False)
    kept = s > 1e-6 * max(s[0], 1e-12)
    return u[:, kept] if side == "column" else v_t[kept].T


def test_overlap_by_chance_is_what_random_subspaces_have() -> None:
    def random(seed, rank):
        draw = torch.Generator().manual_seed(seed)
        a, b = (torch.randn(*size, generator=draw) for size in ((rank, 30), (20, rank)))
        return Adapter.from_factors({"m": LoraFactors(a=a, b=b)})

    pairs = [analyze({"a": random(s, 3), "b": random(1000 + s, 5)}) for s in range(60)]
    for side in ("column_overlap", "row_overlap"):
        overlaps = [getattr(pair, side) for pair in pairs]
        mean = np.mean([x.mean_squared_cosine[0][1] for x in overlaps])
        assert mean == pytest.approx(overlaps[0].by_chance[0][1], rel=0.1)


def test_spectra(analysis, dense, adapters) -> None:
    for name, found in zip(analysis.names, analysis.spectra, strict=True):
        ranks, effective, stable = [], [], []
        for module in adapters[name].modules:
            s = np.linalg.svd(dense[name][module], compute_uv=False)
            s = s[s > 1e-6 * s[0]]
            p = s / s.sum()
            ranks.append(len(s))
            effective.append(np.exp(-(p * np.log(p)).sum()))
            stable.append((s**2).sum() / s[0] ** 2)
        assert found.rank == np.mean(ranks)
        assert found.effective_rank == pytest.approx(np.mean(effective))
        assert found.stable_rank == pytest.approx(np.mean(stable))


def test_equal_singular_values_make_all_ranks_equal() -> None:
    eye = torch.eye(6)[:4]
    one = Adapter.from_factors({"m": LoraFactors(a=eye, b=eye.T)})
    found = analyze({"a": one, "b": one}).spectra[0]
    assert (found.rank, found.effective_rank, found.stable_rank) == pytest.approx((4, 4, 4))


def test_kept(analysis, dense, merged) -> None:
    m = dense_of(merged)
    assert analysis.merged_norm == pytest.approx(np.linalg.norm(flat(m)))
    assert analysis.merged_spectrum.rank == 2
    for found, deltas in zip(analysis.kept, dense.values(), strict=True):
        d, whole = flat(deltas), flat(m)
        assert found.cosine == pytest.approx(
            d @ whole / np.linalg.norm(d) / np.linalg.norm(whole), rel=1e-9
        )
        assert found.amount == pytest.approx(d @ whole / (d @ d), rel=1e-9)
        inside = expected = 0.0
        for module, delta in deltas.items():
            u, v = basis(m[module], "column"), basis(m[module], "row")
            inside += np.linalg.norm(u.T @ delta @ v) ** 2
            expected += np.linalg.norm(delta) ** 2 * u.shape[1] * v.shape[1] / delta.size
        assert found.inside == pytest.approx(inside / (d @ d), rel=1e-5)
        assert found.inside_by_chance == pytest.approx(expected / (d @ d), rel=1e-5)


def test_without_taking_the_merge_apart_the_rest_is_the_same(adapters, analysis, merged) -> None:
    found = analyze(adapters, merged=merged, density=DENSITY, decompose_merged=False)

    assert found.merged_spectrum is None
    assert all(kept.inside is None for kept in found.kept)
    assert_alike(found, analysis.without_merged_subspaces())


def test_an_adapter_keeps_itself(adapters) -> None:
    two = dict(itertools.islice(adapters.items(), 2))
    itself = analyze(two, merged=adapters["de"]).kept[0]
    assert (itself.cosine, itself.amount, itself.inside) == pytest.approx((1, 1, 1))


def test_an_exact_linear_merge_holds_all_where_its_rank_has_room() -> None:
    modules = set(SHAPES) - {"head"}  # whose ranks sum to more than its columns
    two = [Adapter.from_factors({m: factors_of(s)[m] for m in modules}) for s in (0, 1)]
    mean = analyze(dict(zip("ab", two, strict=True)), merged=merge(two, "linear")).kept
    assert [x.inside for x in mean] == pytest.approx([1, 1])


def test_a_merge_that_misses_a_module_keeps_nothing_there() -> None:
    both = Adapter.from_factors({m: LoraFactors(torch.eye(2), torch.eye(2)) for m in ("x", "y")})
    half = Adapter.from_factors({"x": LoraFactors(torch.eye(2), torch.eye(2))})
    found = analyze({"a": both, "b": both}, merged=half).kept[0]
    assert (found.amount, found.inside) == pytest.approx((0.5, 0.5))
    assert found.cosine == pytest.approx(0.5**0.5)
    # And a module that only the merge has counts in its norm.
    assert analyze({"a": half, "b": half}, merged=both).kept[0].cosine == pytest.approx(0.5**0.5)


def test_scaling_an_adapter_changes_its_norm_alone(factors, analysis, merged) -> None:
    larger = {m: LoraFactors(f.a, f.b, 3 * f.scale) for m, f in factors["de"].items()}
    scaled = analyze(
        {name: Adapter.from_factors(larger if name == "de" else f) for name, f in factors.items()},
        density=DENSITY,
    )
    assert scaled.whole.norms[0] == pytest.approx(3 * analysis.whole.norms[0])
    close(scaled.whole.cosines, analysis.whole.cosines, 1e-6)
    close(scaled.signs.agreement, analysis.signs.agreement, 1e-3)
    assert scaled.spectra[0].effective_rank == pytest.approx(analysis.spectra[0].effective_rank)


def test_permuting_adapters_permutes_everything(adapters, analysis, merged) -> None:
    order = [2, 0, 1]
    names = [analysis.names[i] for i in order]
    found = analyze({name: adapters[name] for name in names}, merged=merged, density=DENSITY)
    assert list(found.names) == names
    at = np.ix_(order, order)
    close(found.whole.cosines, np.array(analysis.whole.cosines)[at])
    close(found.signs.agreement, np.array(analysis.signs.agreement)[at])
    close(
        found.row_overlap.mean_squared_cosine,
        np.array(analysis.row_overlap.mean_squared_cosine)[at],
    )
    assert found.kept[0].amount == pytest.approx(analysis.kept[2].amount)
    assert found.measures()["norm"] == pytest.approx(analysis.measures()["norm"])


def test_another_factorization_of_the_same_change_gives_the_same(factors, analysis, merged) -> None:
    draw = torch.Generator().manual_seed(7)

    def rotated(f):
        rank = f.a.shape[0]
        r = torch.randn(rank, rank, generator=draw, dtype=torch.float64)
        r += 3 * torch.eye(rank, dtype=torch.float64)
        a = torch.linalg.solve(r, f.a.double())
        return LoraFactors(a=a, b=f.b.double() @ r * f.scale)

    found = analyze(
        {
            name: Adapter.from_factors({m: rotated(f) for m, f in fs.items()})
            for name, fs in factors.items()
        },
        merged=merged,
        density=DENSITY,
    )
    assert_alike(found, analysis, rtol=1e-4)


def test_a_rank_that_is_not_used_counts_as_none(factors, analysis) -> None:
    """Zero rows and repeated directions add to the stored rank and to nothing else."""

    def padded(f):
        return LoraFactors(
            a=torch.cat([f.a, torch.zeros(2, f.a.shape[1]), f.a[:1]]),
            b=torch.cat([f.b / 1, torch.ones(f.b.shape[0], 2), torch.zeros(f.b.shape[0], 1)], 1),
            scale=f.scale,
        )

    wider = {
        name: Adapter.from_factors({m: padded(f) for m, f in fs.items()})
        for name, fs in factors.items()
    }
    found = analyze(wider, density=DENSITY)
    assert [x.rank for x in found.spectra] == [x.rank for x in analysis.spectra]
    close(
        found.column_overlap.mean_squared_cosine,
        analysis.column_overlap.mean_squared_cosine,
        1e-5,
    )


def test_bfloat16_embeddings_and_patterns_from_disk(tmp_path, adapters, analysis) -> None:
    for name, adapter in adapters.items():
        adapter.save(tmp_path / name)
    found = analyze(
        {name: tmp_path / name for name in adapters}, merged=None, density=DENSITY, workers=1
    )
    close(found.whole.cosines, analysis.whole.cosines)

    half = Adapter.from_factors(
        {
            "embed": LoraFactors(
                a=torch.randn(2, 5).bfloat16(), b=torch.randn(20, 2).bfloat16(), scale=0.25
            )
        },
        embeddings=["embed"],
    )
    both = analyze({"a": half, "b": half})
    norm = np.linalg.norm(half.factors("embed").delta(torch.float64).numpy())
    assert both.whole.norms == pytest.approx((norm, norm))
    assert both.whole.cosines[0][1] == pytest.approx(1)


def test_an_untrained_adapter_is_zero_and_related_to_nothing(adapters) -> None:
    zero = Adapter.from_factors({"head": LoraFactors(a=torch.randn(2, 6), b=torch.zeros(9, 2))})
    found = analyze({"zero": zero, "de": adapters["de"]}, merged=zero)
    assert found.whole.norms[0] == 0
    assert found.whole.cosines[0] == (None, None)
    assert found.signs.agreement[0][1] is None
    assert found.signs.contested == 0
    assert found.column_overlap.mean_squared_cosine[0][1] is None
    assert found.spectra[0].effective_rank == 0
    assert found.kept[0].cosine is None
    assert found.kept[1].amount == 0
    assert "zero" not in found.measures()["mean_cosine"]
    assert found.joins[0].distance == 1
    json.dumps(found.to_json(), allow_nan=False)


def test_adapters_without_a_common_module_are_orthogonal() -> None:
    one, two = (
        Adapter.from_factors({m: LoraFactors(torch.ones(1, 2), torch.ones(3, 1))}) for m in "xy"
    )
    found = analyze({"a": one, "b": two})
    assert found.whole.cosines[0][1] == 0
    assert found.row_overlap.mean_squared_cosine[0][1] is None
    assert found.signs.conflict is None


def test_json_holds_everything(analysis) -> None:
    value = json.loads(json.dumps(analysis.to_json(), allow_nan=False))
    assert value["names"] == ["de", "fr", "ja"]
    assert value["whole"]["cosines"][0][1] == analysis.whole.cosines[0][1]
    assert value["signs"]["density"] == DENSITY
    assert value["joins"][0] == list(analysis.joins[0])
    assert value["kept"][0]["amount"] == analysis.kept[0].amount
    assert set(analysis.measures()) == {
        "mean_cosine", "norm", "effective_rank", "stable_rank", "column_overlap", "row_overlap",
        "sign_agreement", "kept_cosine", "kept_amount",
    }  # fmt: skip


def test_workers_change_no_bit_and_progress_counts_modules(adapters, merged) -> None:
    seen = []
    one = analyze(adapters, merged=merged, workers=1)
    two = analyze(adapters, merged=merged, workers=3, on_progress=lambda *x: seen.append(x))
    assert one == two
    assert seen == [(i + 1, len(SHAPES)) for i in range(len(SHAPES))]


def test_one_adapter_is_refused(adapters) -> None:
    with pytest.raises(AdapterError, match="expected two adapters or more to compare, found de"):
        analyze({"de": adapters["de"]})


def test_shapes_that_do_not_match_are_named(adapters) -> None:
    other = Adapter.from_factors({"head": LoraFactors(torch.ones(1, 4), torch.ones(9, 1))})
    with pytest.raises(MergeError, match="module 'head' is 9 x 4, but 9 x 6"):
        analyze({"de": adapters["de"], "other": other})
    with pytest.raises(MergeError, match="module 'head' is 9 x 4, but 9 x 6"):
        analyze(adapters, merged=other)


@pytest.mark.parametrize("density", [0, -0.1, 1.5, float("nan")])
def test_density_out_of_range(adapters, density) -> None:
    with pytest.raises(ValueError, match="density is"):
        analyze(adapters, density=density)


def test_differences_to_an_ancestor_are_what_is_compared(adapters, merged):
    """The same numbers as of adapters that hold the differences themselves."""
    start = Adapter.from_factors(
        {m: f for m, f in factors_of(8, scale=0.2).items() if m == "layers.0.attn.q"},
        base_model="toy",
    )

    def difference(adapter):
        made = {}
        for module in adapter.modules:
            f = adapter.factors(module)
            made[module] = LoraFactors(a=f.a, b=f.b * f.scale)
            if module in start.shapes:
                s = start.factors(module)
                b = torch.cat([f.b * f.scale, -s.b * s.scale], dim=1)
                made[module] = LoraFactors(a=torch.cat([f.a, s.a]), b=b)
        return Adapter.from_factors(made, base_model="toy")

    expected = analyze(
        {name: difference(adapter) for name, adapter in adapters.items()},
        merged=difference(merged),
        density=DENSITY,
    )
    found = analyze(adapters, merged=merged, density=DENSITY, ancestor=start)
    assert_alike(found, expected)
    assert found.whole.norms != analyze(adapters, density=None).whole.norms
    with pytest.raises(MergeError, match=r"ancestor .* which"):
        analyze({name: adapters[name] for name in ("de", "fr")}, ancestor=adapters["de"])
