"""Files that only their owner may read, opened so that no link can lead elsewhere.

Every function takes a `root`, the folder that is trusted (a run, a cache): no component below it is followed as a
link, each is opened relative to the descriptor of the one before, and its owner is checked. Without a `root` the
folder that holds the path is taken. Folders are made 0700 and files 0600, whatever the umask says.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from core.errors import StorageError, UsageError
from core.run.faults import fault

FOLDER_MODE = 0o700
FILE_MODE = 0o600
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def storage_error(error: OSError, path: Path, *, doing: str) -> StorageError:
    """Return the words for input or output that failed while `doing` something with `path`."""
    words = error.strerror or str(error)
    if error.errno in _FULL:
        hint = "Free some space (or raise the quota), then resume the run."
    elif error.errno == errno.EROFS:
        hint = "The file system is mounted read-only: choose another FOOTPLATE_HOME or mount it for writing."
    else:
        hint = "Look at the disk (dmesg, df, mount); what was complete before is untouched."
    return StorageError(f"{doing} {path}: {words}", hint=hint)


@contextmanager
def folder(path: Path, *, root: Path | None = None) -> Iterator[int]:
    """Open a folder and yield its descriptor.

    Raises: UsageError where a component is a link, not a folder, or another user's; FileNotFoundError.
    """
    descriptor = _open_folder(path, root if root is not None else path)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def open_file(path: Path, flags: int, *, root: Path | None = None) -> int:
    """Open a regular file and return its descriptor; with O_CREAT it is made 0600.

    Raises: UsageError where the path is a link, not a regular file, or another user's; OSError as os.open does.
    """
    with folder(path.parent, root=root if root is not None else path.parent) as parent:
        return open_at(parent, path.name, flags, path)


def open_at(parent: int, name: str, flags: int, shown: Path) -> int:
    """Open the regular file `name` of an open folder, as `open_file`; `shown` is for messages."""
    try:
        # O_NONBLOCK: a FIFO that somebody put there must not block the open.
        descriptor = os.open(
            name, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY, FILE_MODE, dir_fd=parent
        )
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK):
            raise _is_link(shown) from error
        if error.errno in (errno.EISDIR, errno.ENXIO):
            raise _not_regular(shown) from error
        raise
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise _not_regular(shown)
        _check_owner(found, shown)
        if flags & os.O_CREAT and stat.S_IMODE(found.st_mode) != FILE_MODE:
            os.fchmod(descriptor, FILE_MODE)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def read_file(path: Path, *, limit_bytes: int, root: Path | None = None) -> bytes:
    """Return the content of a file, at most `limit_bytes` of it."""
    descriptor = open_file(path, os.O_RDONLY, root=root)
    try:
        parts = bytearray()
        while len(parts) < limit_bytes and (part := os.read(descriptor, limit_bytes - len(parts))):
            parts += part
        return bytes(parts)
    finally:
        os.close(descriptor)


def make_folder(path: Path, *, root: Path | None = None, new: bool = False) -> None:
    """Make a folder and the missing ones between `root` and it, 0700.

    Raises: FileExistsError where `new` and the folder is there already; UsageError as `folder`.
    """
    start = root if root is not None else path.parent
    names = path.relative_to(start).parts
    descriptor = _open_folder(start, start)
    try:
        for index, name in enumerate(names):
            try:
                os.mkdir(name, FOLDER_MODE, dir_fd=descriptor)
                os.fsync(descriptor)  # else a power cut may take the folder with all that was synced inside it
            except FileExistsError:
                if new and index == len(names) - 1:
                    raise
            step = _open_component(descriptor, name, start.joinpath(*names[: index + 1]))
            os.close(descriptor)
            descriptor = step
            if stat.S_IMODE(os.fstat(descriptor).st_mode) & FOLDER_MODE != FOLDER_MODE:
                os.fchmod(descriptor, FOLDER_MODE)  # a umask that takes bits from the owner
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data`; a short write goes on, so that a full disk raises instead of leaving a piece unsaid."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def write_atomic(path: Path, data: bytes, *, root: Path | None = None, sync: bool = True) -> None:
    """Replace `path` by a file with `data`: a reader sees the old content or the new, never a part.

    Raises: StorageError where the disk is full or fails (the old content stays); UsageError as `open_file`.
    """
    with folder(path.parent, root=root if root is not None else path.parent) as parent:
        temporary = f".{path.name}.{secrets.token_hex(8)}.tmp"
        try:
            _write_new(parent, temporary, data, path, sync=sync)
            fault("write_atomic.before_rename")
            os.rename(temporary, path.name, src_dir_fd=parent, dst_dir_fd=parent)
            if sync:
                os.fsync(parent)
        except OSError as error:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=parent)
            raise storage_error(error, path, doing="Writing") from error


def _write_new(parent: int, name: str, data: bytes, shown: Path, *, sync: bool) -> None:
    descriptor = open_at(parent, name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, shown)
    try:
        write_all(descriptor, data)
        if sync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def delete_tree(path: Path, *, root: Path | None = None) -> None:
    """Delete a file or a folder with all in it. Links are deleted, never followed.

    Refuses another user's files and what is mounted inside: UsageError, and what was not reached stays.
    """
    with folder(path.parent, root=root if root is not None else path.parent) as parent:
        _delete(parent, path.name, os.fstat(parent).st_dev, path)


def _delete(parent: int, name: str, device: int, shown: Path) -> None:
    try:
        found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(found.st_mode):
        os.unlink(name, dir_fd=parent)
        return
    descriptor = _open_component(parent, name, shown)
    try:
        if os.fstat(descriptor).st_dev != device:
            raise UsageError(f"{shown} is a mount and was not deleted", hint="Unmount it first.")
        for entry in os.listdir(descriptor):
            _delete(descriptor, entry, device, shown / entry)
    finally:
        os.close(descriptor)
    os.rmdir(name, dir_fd=parent)


def check_parents(path: Path) -> None:
    """Refuse a place where somebody else could exchange `path` or a folder above it.

    Raises: UsageError naming the folder and why it is unsafe.
    """
    trusted = {0, os.geteuid(), _overflow_user()}
    place = Path(os.path.realpath(path))
    for ancestor in (place, *place.parents):
        try:
            found = os.stat(ancestor)
        except FileNotFoundError:
            continue
        if found.st_uid not in trusted:
            raise UsageError(
                f"{ancestor} belongs to user {found.st_uid}, who could exchange what lies in it",
                hint="Set FOOTPLATE_HOME to a folder of your own.",
            )
        if found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
            raise UsageError(
                f"{ancestor} is unsafe: every user may write there (mode {stat.S_IMODE(found.st_mode):04o})",
                hint=f"chmod o-w {ancestor}, or set FOOTPLATE_HOME to a folder of your own.",
            )


def _overflow_user() -> int:
    # Inside a user namespace the machine's root is shown as this user.
    try:
        return int(Path("/proc/sys/fs/overflowuid").read_text())
    except (OSError, ValueError):
        return 0


def _open_folder(path: Path, root: Path) -> int:
    try:
        descriptor = os.open(root, _FOLDER_FLAGS)
    except OSError as error:
        raise _no_folder(error, root) from error
    try:
        _check_owner(os.fstat(descriptor), root)
        shown = root
        for name in path.relative_to(root).parts:
            shown = shown / name
            step = _open_component(descriptor, name, shown)
            os.close(descriptor)
            descriptor = step
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _open_component(parent: int, name: str, shown: Path) -> int:
    if name == "..":
        raise UsageError(f"{shown} leads out of its folder", hint="Name the folder itself.")
    try:
        descriptor = os.open(name, _FOLDER_FLAGS, dir_fd=parent)
    except OSError as error:
        raise _no_folder(error, shown) from error
    try:
        _check_owner(os.fstat(descriptor), shown)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _no_folder(error: OSError, shown: Path) -> Exception:
    # A link opened with O_DIRECTORY and O_NOFOLLOW is ENOTDIR on Linux and ELOOP elsewhere.
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        return _is_link(shown) if shown.is_symlink() else UsageError(f"{shown} is not a folder", hint="Move it away.")
    return error


def _is_link(shown: Path) -> UsageError:
    return UsageError(
        f"{shown} is a symbolic link; a run holds none of its own",
        hint="Somebody put it there: look at where it leads before you delete it.",
    )


def _not_regular(shown: Path) -> UsageError:
    return UsageError(f"{shown} is not a regular file", hint="Move it away; the run makes its own.")


def _check_owner(found: os.stat_result, shown: Path) -> None:
    if found.st_uid != os.geteuid():
        raise UsageError(
            f"{shown} belongs to user {found.st_uid}, this process runs as {os.geteuid()}",
            hint="Run Footplate as the owner, or set FOOTPLATE_HOME to a folder of your own.",
        )
