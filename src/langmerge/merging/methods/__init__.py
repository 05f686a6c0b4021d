"""The built-in methods, one file per family; importing this package registers them."""

from langmerge.merging.methods import (
    breadcrumbs,
    compress_merge,
    dare,
    della,
    iso_c,
    knots,
    linear,
    magnitude,
    model_stock,
    pico,
    robust_merge,
    sce,
    svc,
    ties,
    tsv_m,
    wudi_ridge,
)

__all__ = [
    "breadcrumbs",
    "compress_merge",
    "dare",
    "della",
    "iso_c",
    "knots",
    "linear",
    "magnitude",
    "model_stock",
    "pico",
    "robust_merge",
    "sce",
    "svc",
    "ties",
    "tsv_m",
    "wudi_ridge",
]
