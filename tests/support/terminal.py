"""A real terminal for a command: what it draws, and keys that are typed."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

ATHANOR = Path(sys.executable).parent / "athanor"

# Opening a terminal without having one makes it the controlling one: then Ctrl-C is typed, not sent.
SHIM = "import os, sys; os.open(os.ttyname(0), os.O_RDWR); os.execv(sys.argv[1], sys.argv[1:])"


class Terminal:
    """The `athanor` command with a terminal of its own, so many columns wide and lines high."""

    def __init__(self, target: str, *arguments: str, columns: int = 100, lines: int = 24, **env: str) -> None:
        self.screen = ""  # all that was written to it
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        environment = {**os.environ, "TERM": "xterm-256color", "ATHANOR_TARGET": target, **env}
        for name in {"COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"} - set(env):
            environment.pop(name, None)
        self.process = subprocess.Popen(
            [sys.executable, "-c", SHIM, str(ATHANOR), *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment,
            start_new_session=True,
        )
        os.close(slave)

    @property
    def text(self) -> str:
        """What was written, without the sequences that colour it and move the cursor."""
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.screen)

    def wait_for(self, pattern: str, timeout: float = 20.0) -> None:
        deadline = time.monotonic() + timeout
        while not re.search(pattern, self.text):
            assert time.monotonic() < deadline, f"no {pattern!r} in {self.screen!r}"
            assert self._read(0.1) or self.process.poll() is None, f"no {pattern!r} in {self.screen!r}"

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def wait(self) -> int:
        deadline = time.monotonic() + 20
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.screen
            self._read(0.05)
        while self._read(0.05):
            pass
        return self.process.returncode

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._master)

    def _read(self, seconds: float) -> bool:
        if not select.select([self._master], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:  # the other side is closed
            return False
        self.screen += data.decode(errors="replace")
        return bool(data)
