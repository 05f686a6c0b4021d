"""The built-in methods, one file per family; importing this package registers them."""

from langmerge.merge.methods import dare, knots, linear, ties

__all__ = ["dare", "knots", "linear", "ties"]
