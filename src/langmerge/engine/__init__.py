"""Engines carry out a plan: the local one here, in this process, over one resident base model.

`books` decides and writes down, `carrying` does the work of a unit; an engine brings them together.
"""

from langmerge.engine.local import run
from langmerge.engine.outcomes import JobResult, Observer, Run

__all__ = ["JobResult", "Observer", "Run", "run"]
