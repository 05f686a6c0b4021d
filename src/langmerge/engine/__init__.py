"""Engines carry out a plan: the local one here, in this process, over one resident base model."""

from langmerge.engine.local import JobResult, Observer, Run, run

__all__ = ["JobResult", "Observer", "Run", "run"]
