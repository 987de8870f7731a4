"""``file://``: regular files really below an allowed folder."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from worker.fetch.places import UnclearPlaceError, place_of
from worker.fetch.services import AwayError, RefusedUsError, claimed, failed, longest_first, root_below

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from worker.fetch.roots import AllowedRoot
    from worker.records import Reference
    from worker.settings.tree import Fetch

THREADS = 4
"""Threads of our own: a network file system that hangs must not take those that others wait for."""
_PASS_ONLY = getattr(os, "O_PATH", os.O_RDONLY)
_FOLDER = _PASS_ONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})


class Files:
    """Reads files below the allowed folders, wherever symbolic links lead within them."""

    def __init__(self, roots: Sequence[AllowedRoot]) -> None:
        """Take the allowed folders."""
        self._roots = longest_first(roots)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="fetch-file")

    async def read(self, reference: Reference, max_bytes: int) -> bytes:
        """Read one file in a thread. See ``Service``; no permission is as a store that refuses us."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._read, reference, max_bytes)

    def root_of(self, reference: Reference) -> AllowedRoot | None:
        """Return the root that a reference's text lies below, else any: only links know. See ``Service``."""
        return root_below(self._roots, reference) or self._roots[0]

    async def answers(self, root: AllowedRoot) -> bool:
        """Tell whether the folder is there. See ``Service``."""
        folder = "/" + root.place.path
        return await asyncio.get_running_loop().run_in_executor(self._threads, os.path.isdir, folder)

    async def close(self) -> None:
        """Let the threads go; one that hangs in a read is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _read(self, reference: Reference, max_bytes: int) -> bytes:
        if reference.etag is not None or reference.version is not None:
            raise failed("refused", reference, "a file has no etag and no version to pin; give its digest")
        folder, parts = self._real(reference)
        try:
            with closing(_Folder(folder)) as at:
                for part in parts[:-1]:
                    at.enter(part)
                return _content(reference, at, parts[-1], max_bytes)
        except PermissionError:
            raise RefusedUsError(f"file://{folder}/: no permission to read a file below it") from None
        except OSError as error:
            if error.errno in _NOT_THERE:
                raise failed("not_found", reference, "there is no such file") from None
            raise AwayError(f"can't be read: {error.strerror}") from None

    def _real(self, reference: Reference) -> tuple[str, list[str]]:
        """Where the file really is: an allowed folder and the way from there, without symbolic links in either."""
        try:
            place = place_of(reference.uri)
        except UnclearPlaceError as error:
            raise failed("outside_roots", reference, str(error)) from None
        if place.authority not in ("", "localhost"):
            raise failed("outside_roots", reference, "it names a host; files are of this machine")
        real = os.path.realpath("/" + place.path)
        for folder in (os.path.realpath("/" + root.place.path) for root in self._roots):
            if real.startswith(folder + "/"):
                return folder, real[len(folder) + 1 :].split("/")
        raise failed("outside_roots", reference, "it is below none of the folders in fetch.roots")


class _Folder:
    """A folder held open and walked down from. A link that somebody swaps in meanwhile is not followed."""

    def __init__(self, path: str) -> None:
        self.descriptor = os.open(path, _FOLDER)

    def enter(self, name: str) -> None:
        inner = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=self.descriptor)
        os.close(self.descriptor)
        self.descriptor = inner

    def close(self) -> None:
        os.close(self.descriptor)


def _content(reference: Reference, folder: _Folder, name: str, max_bytes: int) -> bytes:
    """Looked at before it is opened, since opening a device can do things; and after, since it may be another then."""
    _check_regular(reference, os.stat(name, dir_fd=folder.descriptor, follow_symlinks=False))
    with _opened(name, folder.descriptor) as descriptor:
        about = os.fstat(descriptor)
        _check_regular(reference, about)
        first, count = claimed(reference, about.st_size, max_bytes)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            file.seek(first)
            data = file.read(count)
    if len(data) != count:
        raise AwayError("the file became shorter while it was read")
    return data


@contextmanager
def _opened(name: str, folder: int) -> Iterator[int]:
    descriptor = os.open(name, _FILE | os.O_NOFOLLOW, dir_fd=folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _check_regular(reference: Reference, about: os.stat_result) -> None:
    """A link can only be one in a circle, or one that came while its name was followed: then it is looked for again."""
    if stat.S_ISLNK(about.st_mode):
        raise failed("not_found", reference, "there is a link in the place of a file")
    if not stat.S_ISREG(about.st_mode):
        raise failed("refused", reference, "it is not a regular file")


def open_files(roots: Sequence[AllowedRoot], settings: Fetch, mistakes: list[str]) -> Files:
    """Make the service of ``file://``. A folder need not be there yet: a mount may come later."""
    del settings, mistakes  # nothing about a folder can be set or be wrong
    return Files(roots)
