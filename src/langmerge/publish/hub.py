"""A folder as a model repository on the Hugging Face Hub.

The token is huggingface_hub's own affair (`hf auth login`, or `HF_TOKEN`): it is no option, enters
no file, and is taken out of every message.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from langmerge.errors import UserError

_REPOSITORY = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)
_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{4,}|(?i:bearer)\s+\S+")


def check_name(repository: str) -> None:
    """Raise UserError if a name is no repository's."""
    if not _REPOSITORY.fullmatch(repository) or ".." in repository or "--" in repository:
        raise UserError(f"--push-to-hub {repository}: expected USER/NAME or ORGANIZATION/NAME")


def push(folder: Path, repository: str, *, message: str, private: bool, api: Any = None) -> str:
    """Upload a folder as one commit; the repository is made if there is none.

    Args:
        folder: what is uploaded, all of it.
        repository: USER/NAME.
        message: of the commit.
        private: whether a new repository is; one that is there stays as it is.
        api: huggingface_hub's client; a new one by default.

    Returns:
        The address of the commit.

    Raises:
        UserError: if the Hub refuses or cannot be reached.
    """
    import huggingface_hub

    check_name(repository)
    client = api or huggingface_hub.HfApi()
    try:
        client.create_repo(repository, repo_type="model", private=private, exist_ok=True)
        commit = client.upload_folder(
            repo_id=repository, folder_path=folder, repo_type="model", commit_message=message
        )
    except Exception as error:  # whatever its HTTP client raises
        raise UserError(
            f"--push-to-hub {repository}: {_reason(error, client)}; check the network, the name, "
            f"and access with `hf auth login`; {folder} is written and can be pushed again"
        ) from None  # the cause holds the request, and that the token
    return str(getattr(commit, "commit_url", None) or commit)


def _reason(error: Exception, client: Any) -> str:
    """Return what went wrong in one line, without any token."""
    text = " ".join(str(error).split()) or type(error).__name__
    token = getattr(client, "token", None)
    if isinstance(token, str) and token:
        text = text.replace(token, "***")
    return _TOKEN.sub("***", text)[:300]
