"""Files at a URL: a folder that several machines share, or a bucket through fsspec.

Names are relative to the URL, with `/`. A file appears whole or not at all, and `create` lets
exactly one of several writers win: that is all a shared store is built on.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from langmerge.errors import LangmergeError, MissingExtraError, ProjectError, StorageError
from langmerge.files import (
    copy_atomically,
    create_atomically,
    is_inside,
    write_atomically,
    writing,
)

_URL = re.compile(r"(?P<protocol>[a-z][a-z0-9+.\-]*)://(?P<path>[^\s@?#]+)")
_EXTRAS = {"s3": ("s3fs", "s3"), "s3a": ("s3fs", "s3")}
_FOR_ALL = 0o644
"""The mode of a file in a shared folder: a worker may be another user."""
_PROBE = "create-probe"
_CONFLICT = "ConditionalRequestConflict"
"""What S3 answers when two conditional writes of one key cross: ask again."""


class Remote(Protocol):
    """Files at a URL. All methods raise `StorageError` if it cannot be reached or written."""

    url: str

    def read(self, name: str) -> bytes | None:
        """Return a file's bytes; None if there is none."""

    def write(self, name: str, content: bytes) -> None:
        """Write a file, whatever was there."""

    def create(self, name: str, content: bytes) -> bool:
        """Write a file unless there is one; return whether this writer won."""

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""

    def upload(self, source: Path, name: str) -> None:
        """Write a file from a local one, whatever was there."""

    def download(self, name: str, target: Path) -> bool:
        """Read a file into a local one; return whether there is one."""

    def names(self, folder: str) -> list[str]:
        """Return the names of all files in a folder and below, relative to it."""


def check_url(url: str) -> str:
    """Return the URL of a store as it is kept: without a slash at its end.

    Raises:
        ValueError: if it is not one, or holds what must not be written down.
    """
    found = _URL.fullmatch(url)
    if found is None and "://" in url and re.search(r"[@?]", url):
        raise ValueError(
            "the URL holds more than a place ('@' or '?'), such as credentials; keep those in the "
            "environment (AWS_PROFILE, AWS_ENDPOINT_URL, ...) and give PROTOCOL://PLACE/FOLDER"
        )
    if found is None:
        raise ValueError(
            f"'{url}' is not a URL such as s3://bucket/folder or file:///mnt/shared/folder; "
            "leave store: out for a folder beside the project file"
        )
    if found["protocol"] == "file" and not found["path"].startswith("/"):
        raise ValueError(f"'{url}': a file URL has three slashes: file:///mnt/shared/folder")
    return url.rstrip("/")


def open_remote(url: str) -> Remote:
    """Return the files at a URL that `check_url` accepted; nothing is read or written yet.

    Raises:
        MissingExtraError: if the package that speaks its protocol is not installed.
        ProjectError: if no package does.
    """
    protocol, _, path = url.partition("://")
    return SharedFolder(Path(path)) if protocol == "file" else Bucket(url)


class SharedFolder:
    """A folder that other machines may mount too."""

    def __init__(self, root: Path) -> None:
        self.url = f"file://{root}"
        self._root = root

    def read(self, name: str) -> bytes | None:
        """Return a file's bytes; None if there is none."""
        with self._reaching():
            try:
                return self._at(name).read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None

    def write(self, name: str, content: bytes) -> None:
        """Write a file, whatever was there."""
        with self._reaching():
            write_atomically(self._at(name), content, _FOR_ALL)

    def create(self, name: str, content: bytes) -> bool:
        """Write a file unless there is one; return whether this writer won."""
        with self._reaching():
            return create_atomically(self._at(name), content, _FOR_ALL)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with self._reaching():
            self._at(name).unlink(missing_ok=True)

    def upload(self, source: Path, name: str) -> None:
        """Write a file from a local one, whatever was there."""
        with self._reaching():
            copy_atomically(source, self._at(name), _FOR_ALL)

    def download(self, name: str, target: Path) -> bool:
        """Read a file into a local one; return whether there is one."""
        with self._reaching():
            if not self._at(name).is_file():
                return False
            shutil.copyfile(self._at(name), target)
            return True

    def names(self, folder: str) -> list[str]:
        """Return the names of all files in a folder and below, relative to it."""
        top, found = str(self._at(folder) if folder else self._root), []
        with self._reaching():
            for place, _, files in os.walk(top):
                inner = os.path.relpath(place, top)
                prefix = "" if inner == "." else Path(inner).as_posix() + "/"
                found += [prefix + file for file in files if not file.startswith(".")]
        return sorted(found)

    def _at(self, name: str) -> Path:
        return self._root / _checked(self.url, name)

    @contextlib.contextmanager
    def _reaching(self) -> Iterator[None]:
        with _reaching(self.url), writing(self._root):
            yield


class Bucket:
    """Objects of a bucket, through fsspec; the store's own folder in it is the URL's path."""

    def __init__(self, url: str) -> None:
        protocol = url.partition("://")[0]
        self.url = url
        try:
            import fsspec

            # Listings must show what others wrote a moment ago.
            self._files: Any = fsspec.filesystem(protocol, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            if protocol in _EXTRAS:
                raise MissingExtraError(*_EXTRAS[protocol], f"a store at {protocol}://") from None
            raise ProjectError(f"store {url}: {error}; file:// and s3:// are known") from None
        self._root: str = self._files._strip_protocol(url)
        self._is_probed = False

    def read(self, name: str) -> bytes | None:
        """Return a file's bytes; None if there is none."""
        with _reaching(self.url):
            try:
                return bytes(self._files.cat_file(self._path(name)))
            except FileNotFoundError:
                return None

    def write(self, name: str, content: bytes) -> None:
        """Write a file, whatever was there."""
        with _reaching(self.url):
            self._files.pipe_file(self._path(name), content)

    def create(self, name: str, content: bytes) -> bool:
        """Write a file unless there is one; return whether this writer won."""
        self._probe()
        return self._create(name, content)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with _reaching(self.url), contextlib.suppress(FileNotFoundError):
            self._files.rm_file(self._path(name))

    def upload(self, source: Path, name: str) -> None:
        """Write a file from a local one, whatever was there."""
        with _reaching(self.url):
            self._files.put_file(str(source), self._path(name))

    def download(self, name: str, target: Path) -> bool:
        """Read a file into a local one; return whether there is one."""
        with _reaching(self.url):
            try:
                self._files.get_file(self._path(name), str(target))
            except FileNotFoundError:
                return False
            return True

    def names(self, folder: str) -> list[str]:
        """Return the names of all files in a folder and below, relative to it."""
        top = self._path(folder) if folder else self._root
        with _reaching(self.url):
            try:
                found: list[str] = self._files.find(top)
            except FileNotFoundError:
                return []
        return sorted(path[len(top) + 1 :] for path in found)

    def _create(self, name: str, content: bytes) -> bool:
        with _reaching(self.url):
            while True:
                try:
                    self._files.pipe_file(self._path(name), content, mode="create")
                    return True
                except FileExistsError:
                    return False
                except OSError as error:
                    if _CONFLICT not in str(error):
                        raise

    def _probe(self) -> None:
        """Make sure, once, that the place refuses to create what is there.

        Some servers, and some of fsspec's file systems, take no notice of the condition.
        """
        if not self._is_probed:
            name = f"{_PROBE}-{uuid.uuid4().hex}"
            try:
                if not (self._create(name, b"") and not self._create(name, b"")):
                    raise StorageError(
                        f"{self.url}: a file could be created twice, so two runs could overwrite "
                        "each other; take a place with conditional writes (If-None-Match on S3), "
                        "or a shared folder as file://"
                    )
            finally:
                self.remove(name)
            self._is_probed = True

    def _path(self, name: str) -> str:
        return f"{self._root}/{_checked(self.url, name)}"


def _checked(url: str, name: str) -> str:
    """Return a file's or folder's name, having made sure that it leads nowhere else."""
    if not is_inside(name):
        raise StorageError(f"{url}: {name!r:.80} is no name of a file in there; expected a/b/c")
    return name


@contextlib.contextmanager
def _reaching(url: str) -> Iterator[None]:
    """Turn what goes wrong on the way to a URL into one line."""
    try:
        yield
    except LangmergeError:
        raise
    except Exception as error:
        first = str(error).partition("\n")[0] or type(error).__name__
        raise StorageError(
            f"{url}: {first}; check the address, the network and the credentials in the "
            "environment, and run again: what is finished is kept"
        ) from error
