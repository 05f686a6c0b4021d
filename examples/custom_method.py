"""A merging method of one's own, registered, merged and compared with TIES.

    python examples/custom_method.py adapters/de adapters/fr adapters/ja

TIES elects the sign with the larger *mass*: one adapter with large entries can outvote two. Here
every adapter has one vote per entry, by its weight, whatever the entry's size.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import langmerge
from langmerge.analysis import analyze
from langmerge.merging import Density, Lambda, register

if TYPE_CHECKING:
    from langmerge.merging.composition import Composition


@register(
    summary="trim small entries, elect the sign of most adapters, average what agrees",
    source="this example",
)
def majority_ties(*, density: Density = 1.0, lambda_: Lambda = 1.0) -> Composition:
    """TIES, its election by heads instead of by mass. The signature is the method's schema."""
    from torch import Tensor

    from langmerge.merging.composition import Composition, Tally
    from langmerge.merging.steps.combine import combine
    from langmerge.merging.steps.keep_largest import keep_largest

    def elect(tally: Tally, zero_is_positive: bool = True) -> Tensor:
        ahead = tally.positive_weight - tally.negative_weight
        # A tie of heads is settled by mass, as TIES would.
        return ((ahead > 0) | ((ahead == 0) & (tally.total >= 0))).to(tally.total.dtype)

    return Composition(
        sparsify=keep_largest(density, "none"), elect=elect, combine=combine(True), scale=lambda_
    )


def main() -> None:
    """Merge by both methods and say what each keeps of every adapter."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("adapters", nargs="+", help="folders of PEFT adapters of one base")
    parser.add_argument("--density", type=float, default=1.0)
    chosen = parser.parse_args()

    names = {f"{number}:{path}": path for number, path in enumerate(chosen.adapters)}
    for method in ("ties", "majority_ties"):
        merged = langmerge.merge(chosen.adapters, method, density=chosen.density)
        kept = analyze(names, merged=merged, density=None).kept
        assert kept is not None
        cosines = ", ".join(f"{one.cosine:.2f}" for one in kept)
        print(f"{method}: cosine with each adapter {cosines}")


if __name__ == "__main__":
    main()
