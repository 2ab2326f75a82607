"""Exactly which code an experiment is made of."""

import contextlib
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

# Git answers in milliseconds; on a repository where it does not, knowing the commit is not worth the wait. Seconds.
_GIT_TIMEOUT_S = 5.0


def source_files(module: str) -> list[Path]:
    """List the source files of the package that a loaded module belongs to; of the module alone if it is in none."""
    top = sys.modules.get(module.partition(".")[0])
    file = getattr(top, "__file__", None)
    if file is None:  # a namespace package, or nothing of Python's: what the module itself is in
        file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:
        return []
    path = Path(file)
    return sorted(path.parent.rglob("*.py")) if path.name == "__init__.py" else [path]


def digest(files: list[Path]) -> str:
    """SHA-256 in hex over the names and contents of source files; names count from the folder that holds them all."""
    if not files:
        return ""
    common = Path(os.path.commonpath([file.parent for file in files])).parent
    total = sha256()
    for file in files:
        with contextlib.suppress(OSError):
            content = file.read_bytes()
            total.update(f"{file.relative_to(common).as_posix()}\0{len(content)}\0".encode())
            total.update(content)
    return total.hexdigest()


def git_version(files: list[Path]) -> tuple[str, bool]:
    """The commit of the working tree that the files are in, and whether it differed from it.

    It differs when a tracked file does, or one of `files` is not tracked. Without git or a repository: an empty commit.
    """
    if not files:
        return "", False
    folder = Path(os.path.commonpath([file.parent for file in files]))
    commit = _git(folder, "rev-parse", "HEAD").strip()
    if not commit:
        return "", False
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no", "--ignore-submodules")
    untracked = _git(folder, "ls-files", "--others", "--", *(str(file) for file in files))
    return commit, bool(changed.strip() or untracked.strip())


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_GIT_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout
