"""Task types: what a row asks of the model, what is supervised, and how the answers are scored.

One file per type. Adding one: write the file, add its class to `AnyTask`, test it.
"""

from typing import Annotated

from pydantic import Field

from langmerge.tasks.base import Task
from langmerge.tasks.classification import Classification
from langmerge.tasks.generation import Generation
from langmerge.tasks.multiple_choice import MultipleChoice
from langmerge.tasks.predictions import Prediction

AnyTask = Annotated[Classification | MultipleChoice | Generation, Field(discriminator="type")]

__all__ = ["AnyTask", "Classification", "Generation", "MultipleChoice", "Prediction", "Task"]
