"""A service as a child process: its lines, its end, its restarts."""

import asyncio
import contextlib
import os
import re
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence

_BACKOFF_FIRST = 0.5  # seconds before the first restart; doubles
_BACKOFF_LONGEST = 30.0  # seconds
_STEADY = 30.0  # seconds that a process must have lived for its predecessors' ends to be forgotten
_DRAIN = 1.0  # seconds to read what an ended process has left in its pipes: a descendant may hold them open
_KEPT = 20  # last lines, for the message when it does not start


class StartFailed(Exception):
    """A service ended before it was ready for the first time; `lines` are its last ones."""

    def __init__(self, name: str, status: int, lines: Sequence[str]) -> None:
        super().__init__(f"the {name} did not start ({ended(status)})")
        self.status = status
        self.lines = list(lines)


def restart_delay(failures: int) -> float:
    """Return the seconds to wait before the next start after so many ends in a row (from 1)."""
    return min(_BACKOFF_LONGEST, _BACKOFF_FIRST * 2 ** min(failures - 1, 16))


def ended(status: int) -> str:
    """An exit status in words."""
    if status >= 0:
        return f"exit status {status}"
    with contextlib.suppress(ValueError):
        return f"killed by {signal.Signals(-status).name}"
    return f"killed by signal {-status}"


def command(module: str, *arguments: str) -> list[str]:
    """The command line of `python -m MODULE ARGUMENTS...` as a child that does not outlive this process."""
    return [sys.executable, "-m", "athanor.cli.parentbound", str(os.getpid()), module, *arguments]


class Service:
    """Runs `python -m MODULE` and starts it again whenever it dies, until it is told to stop.

    `arguments` is asked at each start. A line of standard output that matches `ready` says that it works: `ready` is
    set and `match` is that match. Every other line goes to `say`. It has a session of its own, so that Ctrl-C at the
    terminal reaches it only by way of `stop`.
    """

    def __init__(
        self,
        name: str,
        module: str,
        arguments: Callable[[], Sequence[str]],
        *,
        ready: re.Pattern[str],
        say: Callable[[str, str], None],
        env: dict[str, str] | None = None,
    ) -> None:
        self.name = name
        self.ready = asyncio.Event()
        self.match: re.Match[str] | None = None
        self._module = module
        self._arguments = arguments
        self._pattern = ready
        self._say = say
        self._env = env
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()
        self._lines = deque[str](maxlen=_KEPT)

    @property
    def pid(self) -> int | None:
        """The process that is there now."""
        return self._process.pid if self._process else None

    async def run(self) -> None:
        """Keep it running until `stop`. Raises StartFailed when it ends before it was ever ready."""
        failures = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            status = await self._once()
            if self._stopping.is_set():
                return
            if not self.ready.is_set():
                raise StartFailed(self.name, status, self._lines)
            failures = 1 if time.monotonic() - began > _STEADY else failures + 1
            delay = restart_delay(failures)
            self._say(self.name, f"ended ({ended(status)}); starting it again in {delay:g} s")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to end, and do not start it again. May be called again, to insist."""
        self._stopping.set()
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _once(self) -> int:
        """One process from start to end; its exit status."""
        # Pipes of our own: asyncio's would make `wait` last until every descendant has closed them.
        async with contextlib.AsyncExitStack() as stack:
            (output, output_end), (errors, errors_end) = [await _pipe(stack) for _ in range(2)]
            try:
                process = self._process = await asyncio.create_subprocess_exec(
                    *command(self._module, *self._arguments()),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output_end,
                    stderr=errors_end,
                    start_new_session=True,
                    env=self._env,
                )
            finally:
                os.close(output_end)
                os.close(errors_end)
            return await self._attend(process, output, errors)

    async def _attend(
        self, process: asyncio.subprocess.Process, output: asyncio.StreamReader, errors: asyncio.StreamReader
    ) -> int:
        """Read what it says until it has ended; its exit status."""
        readers = [
            asyncio.create_task(self._read(output, True), name=f"{self.name} stdout"),
            asyncio.create_task(self._read(errors, False), name=f"{self.name} stderr"),
        ]
        try:
            if self._stopping.is_set():  # told to stop while it was being started
                self.stop()
            status = await process.wait()
            await asyncio.wait(readers, timeout=_DRAIN)
            return status
        finally:
            if process.returncode is None:
                await _end(process)
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)
            self._process = None

    async def _read(self, stream: asyncio.StreamReader, standard_output: bool) -> None:
        rest = b""
        while chunk := await stream.read(65536):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._take(line, standard_output)
        if rest:
            self._take(rest, standard_output)

    def _take(self, raw: bytes, standard_output: bool) -> None:
        line = raw.decode(errors="replace").rstrip("\r")
        if standard_output and (match := self._pattern.match(line)):
            self.match = match
            self.ready.set()
            return
        self._lines.append(line)
        self._say(self.name, line)


async def _pipe(stack: contextlib.AsyncExitStack) -> tuple[asyncio.StreamReader, int]:
    """A pipe: the end to read from, which is closed with `stack`, and the descriptor of the end to write to."""
    read_end, write_end = os.pipe()
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    source = os.fdopen(read_end, "rb", 0)
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), source)
    stack.callback(transport.close)
    return reader, write_end


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a process whose supervisor is being cancelled."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), 20)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
