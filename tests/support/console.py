"""The commands of a page, as a reader would type them."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path


def commands(page: Path) -> list[str]:
    """What stands behind `$ ` in the console blocks of a page, in order."""
    blocks = re.findall(r"```console\n(.*?)```", page.read_text(), re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def type_in(command: str, *, folder: Path, env: Mapping[str, str], timeout: float = 60.0) -> str:
    """Have a shell do a command, and return what it prints; AssertionError when it fails."""
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=folder,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, f"$ {command}\n{done.stdout}"
    return done.stdout
