"""Files written so that a reader, or a crash, sees all of them or nothing; full disks are named."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from langmerge.errors import StorageError

_UNWRITABLE = {
    errno.ENOSPC: "the disk is full; free space and run again",
    errno.EDQUOT: "the disk quota is used up; free space and run again",
    errno.EROFS: "the file system is read-only; choose a writable project folder",
    errno.ENOTDIR: "a file stands where a folder is needed; choose another folder",
    errno.EEXIST: "a file stands where a folder is needed; choose another folder",
    errno.EACCES: "permission denied; choose a writable project folder",
    errno.EPERM: "permission denied; choose a writable project folder",
}
_WITHOUT_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
PRIVATE = 0o600
"""The mode of a file for its owner alone."""
_PART_BYTES = 255
"""Of a file's name, on the usual file systems."""
_NAME_BYTES = 900
"""Of a name with its folders; a key of S3 has 1024 bytes, with the store's own folder in it."""
_OS_ERROR_IN_WORDS = re.compile(r"\(os error (\d+)\)")
"""How libraries written in Rust, safetensors among them, name the system's error."""


@contextlib.contextmanager
def writing(place: Path) -> Iterator[None]:
    """Turn a full disk or a read-only folder into a `StorageError` that says so."""
    try:
        yield
    except Exception as error:
        if (code := _system_error(error)) in _UNWRITABLE:
            raise StorageError(f"{place}: {_UNWRITABLE[code]}") from error
        raise


def _system_error(error: BaseException | None) -> int:
    """Return the number of the system's error behind an exception, 0 if there is none.

    A library's own exception has it in its words; ours for people have it in their cause.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return error.errno
        if (found := _OS_ERROR_IN_WORDS.search(str(error))) is not None:
            return int(found[1])
        error = error.__cause__
    return 0


def is_inside(name: str) -> bool:
    """Return whether a relative name, with `/`, names a file below the folder it is relative to.

    For names that others wrote: none that leads out, and none that no file can have.
    """
    parts = name.split("/")
    if "\0" in name or PurePosixPath(name).is_absolute() or {"", ".", ".."} & set(parts):
        return False
    try:
        return len(name.encode()) <= _NAME_BYTES and all(
            len(part.encode()) <= _PART_BYTES for part in parts
        )
    except UnicodeEncodeError:  # half a surrogate pair
        return False


@contextlib.contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yield a folder to fill, which takes `target`'s name only if the block succeeds.

    Raises:
        StorageError: if it cannot be written.
    """
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        try:
            yield folder
            folder.chmod(0o755)  # mkdtemp's is for its owner alone
            folder.rename(target)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def write_atomically(path: Path, content: str | bytes, mode: int = PRIVATE) -> None:
    """Write a file, text as UTF-8; a reader, or a crash, sees the old or the new whole one."""
    with _beside(path, mode) as temporary:
        _fill(temporary, content)
        temporary.replace(path)


def copy_atomically(source: Path, path: Path, mode: int = PRIVATE) -> None:
    """Write a file as a copy of another, like `write_atomically`."""
    with _beside(path, mode) as temporary:
        shutil.copyfile(source, temporary)
        sync(temporary)
        temporary.replace(path)


def create_atomically(path: Path, content: str | bytes, mode: int = PRIVATE) -> bool:
    """Write a file unless there is one; return whether this writer was the first.

    A second name for a file is given or refused in one step, on network file systems too. Where a
    file system gives none, of two writers at the same moment both believe that they were the first,
    and the last one's stays.
    """
    with _beside(path, mode) as temporary:
        _fill(temporary, content)
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _WITHOUT_LINKS:
                raise
            if path.exists():  # such a system may refuse before it looks
                return False
            temporary.replace(path)
        return True


@contextlib.contextmanager
def _beside(path: Path, mode: int) -> Iterator[Path]:
    """Yield a temporary file beside a path, to be filled and given its name; it is gone then."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        temporary = Path(name)
        try:
            os.fchmod(descriptor, mode)
            os.close(descriptor)
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)
        sync(path.parent)


def _fill(path: Path, content: str | bytes) -> None:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    sync(path)


def sync_tree(folder: Path) -> None:
    """Make the system write a folder and all files below it to the disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            sync(path)
    sync(folder)


def sync(path: Path) -> None:
    """Make the system write a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
