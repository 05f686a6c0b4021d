"""Metrics: predictions in, `Metric`s out. What each number means: docs/metrics.md."""

from langmerge.metrics.base import Metric
from langmerge.metrics.choice import choice_metrics, written_choice_metrics
from langmerge.metrics.classification import Integers, classification_metrics, confusion_matrix
from langmerge.metrics.generation import generation_metrics

__all__ = [
    "Integers",
    "Metric",
    "choice_metrics",
    "classification_metrics",
    "confusion_matrix",
    "generation_metrics",
    "written_choice_metrics",
]
