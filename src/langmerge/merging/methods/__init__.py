"""The built-in methods, one file per family; importing this package registers them."""

from langmerge.merging.methods import dare, iso_c, knots, linear, magnitude, pico, ties, tsv_m

__all__ = ["dare", "iso_c", "knots", "linear", "magnitude", "pico", "ties", "tsv_m"]
