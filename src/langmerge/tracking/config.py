"""`tracking:` of the project file: where runs and releases are recorded beside the store."""

from __future__ import annotations

from typing import Literal, get_args
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from langmerge.settings import Settings

TrackerName = Literal["mlflow", "wandb", "trackio"]
TRACKERS: tuple[TrackerName, ...] = get_args(TrackerName)


class TrackingSettings(Settings):
    """Which tracker, and where in it. Credentials belong in the tracker's own environment."""

    to: TrackerName = Field(default="mlflow", description="the tracker")
    uri: str | None = Field(
        default=None, description="of the tracker; what its own environment says, where absent"
    )
    experiment: str | None = Field(
        default=None, description="experiment or project; the name of the project's folder"
    )

    @field_validator("uri")
    @classmethod
    def _has_no_password(cls, uri: str | None) -> str | None:
        # The project file is committed, and shown in reports.
        if uri is not None and urlsplit(uri).password:
            raise ValueError(
                "holds a password; leave it out and set MLFLOW_TRACKING_USERNAME and "
                "MLFLOW_TRACKING_PASSWORD, or the whole address as MLFLOW_TRACKING_URI"
            )
        return uri
