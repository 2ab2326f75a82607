"""What a command draws on a terminal of so many columns."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Screen:
    """All that was drawn."""

    status: int
    raw: str

    @property
    def lines(self) -> list[str]:
        """The lines without colours and without the blanks at their ends."""
        plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.raw)
        return [line.rpartition("\r")[2].rstrip() for line in plain.replace("\r\n", "\n").splitlines()]


def draw(command: Sequence[str], *, columns: int, cwd: Path, env: Mapping[str, str]) -> Screen:
    """Run a command to its end with a terminal of its own for input, output and errors."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = {name: value for name, value in env.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    with subprocess.Popen(
        command, stdin=slave, stdout=slave, stderr=slave, cwd=cwd, env=environment | {"TERM": "xterm-256color"}
    ) as process:
        os.close(slave)
        drawn = bytearray()
        while True:
            try:
                data = os.read(master, 65536)
            except OSError:  # the other side is closed
                break
            if not data:
                break
            drawn += data
        os.close(master)
    return Screen(process.returncode, drawn.decode(errors="replace"))
