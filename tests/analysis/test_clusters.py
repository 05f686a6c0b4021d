import numpy as np
import pytest
from scipy.cluster.hierarchy import is_valid_linkage, leaves_list, linkage
from scipy.spatial.distance import squareform

from langmerge.analysis.clusters import average_linkage, distances, leaf_order


@pytest.mark.parametrize("n", [2, 3, 5, 12])
def test_joins_are_scipys(n) -> None:
    draw = np.random.default_rng(n)
    between = squareform(draw.uniform(0, 2, n * (n - 1) // 2))
    joins = average_linkage(between.tolist())
    expected = linkage(squareform(between), "average")
    np.testing.assert_allclose(np.array(joins), expected, rtol=1e-12)
    assert is_valid_linkage(np.array(joins, dtype=float))
    assert sorted(leaf_order(joins)) == list(range(n))
    assert list(leaf_order(joins)) == leaves_list(expected).tolist()


def test_ties_join_the_first_pair_first() -> None:
    joins = average_linkage([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    assert [(join.left, join.right) for join in joins] == [(0, 1), (2, 3)]


def test_an_undefined_cosine_counts_as_orthogonal() -> None:
    assert distances(((1.0, None), (None, 1.0))) == [[0.0, 1.0], [1.0, 0.0]]
