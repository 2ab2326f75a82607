"""Small files that are there whole or not at all, survive a power cut once written, and say their format."""

import json
import os
from pathlib import Path
from typing import Any, cast


class NewerFormatError(ValueError):
    """A file was written by a later version. It is not damaged, and nothing may be done to what it belongs to."""

    def __init__(self, what: str, found: int, known: int) -> None:
        self.found, self.known = found, known
        super().__init__(f"{what} is of format {found}, and this version reads up to {known}: it takes a later version")


def read_document(data: str | bytes, what: str, known: int) -> dict[str, Any]:
    """Read the JSON object of a file that says its `format`; answer the rest of it.

    Raises ValueError when it is not one; NewerFormatError, which is one, when its format is higher than `known`.
    """
    parsed: Any = json.loads(data)
    document = cast("dict[str, Any]", parsed) if isinstance(parsed, dict) else {}
    found = document.pop("format", None)
    if type(found) is int and found > known:
        raise NewerFormatError(what, found, known)
    if type(found) is not int or found != known:
        raise ValueError(f"{what} is not of format {known}")
    return document


def write_durably(path: Path, data: bytes) -> None:
    """Put `data` in place of whatever `path` holds, flushed to disk together with its name."""
    _replace(path, data, flush=True)
    flush_folder(path.parent)


def write_whole(path: Path, data: bytes) -> None:
    """Put `data` in place of whatever `path` holds. A power cut may take it, or leave an empty file."""
    _replace(path, data, flush=False)


def _replace(path: Path, data: bytes, *, flush: bool) -> None:
    partial = path.with_name(path.name + ".tmp")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        if flush:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    partial.rename(path)


def flush_folder(folder: Path) -> None:
    """Flush the names in a folder to disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
