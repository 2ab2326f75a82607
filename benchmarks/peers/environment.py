"""An environment for each peer of its own, with exact versions."""

import hashlib
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parent / "requirements"


def make(name: str, folder: Path) -> Path:
    """The interpreter of a peer's environment in `folder`, made now unless it is there already.

    pip takes the packages from wherever this machine takes them from. RuntimeError when they do not install.
    """
    wanted = REQUIREMENTS / f"{name}.txt"
    environment = folder / name
    python = environment / "bin" / "python"
    stamp = environment / "requirements.sha256"
    digest = hashlib.sha256(wanted.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return python
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", wanted]
    done = subprocess.run(pip, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{name} does not install for this Python:\n{done.stderr[-2000:]}")
    stamp.write_text(digest)
    return python


def version(name: str) -> str:
    """The pinned version of a peer."""
    for line in (REQUIREMENTS / f"{name}.txt").read_text().splitlines():
        package, equals, number = line.partition("==")
        if equals and package.partition("[")[0] == name:
            return number.strip()
    raise ValueError(f"requirements/{name}.txt does not pin {name}")
