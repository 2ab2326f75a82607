"""The runner's end of a template process, from which run processes are forked: see `athanor.experiment.template`."""

import asyncio
import contextlib
import json
import logging
import os
import socket
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from athanor.experiment.assignment import LEASE_VARIABLE, TEMPLATE_VARIABLE
from athanor.experiment.template import ID_LENGTH, MAX_MESSAGE_BYTES, READY, variable_of

from athanor_runner.ports import Command

log = logging.getLogger(__name__)

READY_WITHIN = 10.0  # seconds that a template has for its imports; meanwhile nothing else is started in its place
ANSWER_WITHIN = 1.0  # seconds that it has to hand over a process; the runner does nothing else meanwhile
REST = 60.0  # seconds before the next one is started, when one could not be or did not answer


class Template:
    """At most one process, for one command and one environment; whatever is wrong with it, nothing waits for long.

    Used by the event loop's thread alone. `lock` is held while the process is made and buried, and `children` has its
    id in between: nobody else may bury it.
    """

    def __init__(self, lock: threading.Lock, children: set[int]) -> None:
        self._lock = lock
        self._children = children
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._made_for: object = None
        self._ready = False
        self._changed = asyncio.Event()
        self._rest_until = float("-inf")

    @property
    def pid(self) -> int | None:
        """Its id, while there is one."""
        return self._process.pid if self._process is not None else None

    async def prepare(self, command: Command) -> None:
        """Sees to it that there is one for such commands, and waits until it is ready, or is not to be had."""
        loop = asyncio.get_running_loop()
        if self._process is not None and self._made_for != _kind(command):
            self._end()
        if self._process is None and loop.time() >= self._rest_until and _fits(command):
            try:
                self._begin(command)
            except OSError as error:
                self._give_up(f"it could not be started: {error.strerror or error}")
        process = self._process
        try:
            async with asyncio.timeout(READY_WITHIN):
                while self._process is not None and self._process is process and not self._ready:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            if self._process is process:
                self._give_up(f"it was not ready within {READY_WITHIN:g} s")

    def fork(self, command: Command, stdout: int, stderr: int, doorbell: int) -> "Forked | None":
        """Has a process forked, which waits for `Forked.go`. None: it has to be started in another way.

        Blocks for a millisecond, and ANSWER_WITHIN at most.
        """
        if self._socket is None or not self._ready or self._made_for != _kind(command) or not _fits(command):
            return None
        order = {"folder": command.arguments[-1], "lease_id": command.environment[LEASE_VARIABLE]}
        reading, writing = os.pipe2(os.O_CLOEXEC)
        forked = Forked(writing)
        try:
            answer = self._ask(json.dumps(order).encode(), [stdout, stderr, reading, doorbell])
        finally:
            os.close(reading)
        if "pid" in answer:
            forked.pid = int(answer["pid"])
            return forked
        forked.close()
        if "refused" in answer:
            log.info("run processes are forked from a new template: %s", answer["refused"])
            self._end()
        return None

    def _ask(self, order: bytes, descriptors: list[int]) -> dict[str, Any]:
        """Its answer; an empty one when there is none, and then it is ended."""
        assert self._socket is not None
        try:
            with self._lock:  # so that nobody takes the process for an orphan
                self._socket.settimeout(ANSWER_WITHIN)
                socket.send_fds(self._socket, [order], descriptors)
                said = self._socket.recv(MAX_MESSAGE_BYTES)
                self._socket.setblocking(False)
                answer: dict[str, Any] = json.loads(said) if said else {}
                if "pid" in answer:
                    self._children.add(int(answer["pid"]))
        except ConnectionError:  # it was gone before it took the order
            answer = {}
        except OSError as error:
            self._give_up(f"it did not answer: {error}")
            return {}
        if not answer:
            log.warning("the template of run processes is gone; another takes its place")
            self._end()
        return answer

    def close(self) -> None:
        """Ends it."""
        self._end()

    def _begin(self, command: Command) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            folder = Path(command.arguments[-1])
            # As long as a run's, so that it can be written over with it.
            placeholder = folder.with_name("template".ljust(len(folder.name), "-"))
            environment = {**_shared(command.environment), TEMPLATE_VARIABLE: variable_of(theirs.fileno())}
            try:
                with self._lock:
                    self._process = subprocess.Popen(
                        [*command.arguments[:-1], str(placeholder)],
                        env=environment,
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL,
                        pass_fds=[theirs.fileno()],
                        start_new_session=True,
                    )
                    self._children.add(self._process.pid)
            except BaseException:
                ours.close()
                raise
        ours.setblocking(False)
        self._socket, self._ready, self._made_for = ours, False, _kind(command)
        asyncio.get_running_loop().add_reader(ours, self._heard)

    def _heard(self) -> None:
        """It says that it is ready or why it cannot be, or it is gone."""
        if self._socket is None:
            return
        try:
            said = self._socket.recv(MAX_MESSAGE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        if said == READY:
            self._ready = True
        elif self._ready:
            log.warning("the template of run processes is gone; another takes its place")
            self._end()
        else:
            self._give_up(said.decode("utf-8", "replace") or "it ended before it was ready")
        self._changed.set()

    def _give_up(self, why: str) -> None:
        log.warning("run processes are started without a template for %g s: %s", REST, why)
        self._rest_until = asyncio.get_running_loop().time() + REST
        self._end()

    def _end(self) -> None:
        process, self._process = self._process, None
        if self._socket is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None
        if process is not None:
            process.kill()
            with self._lock:
                process.wait()
                self._children.discard(process.pid)
        self._changed.set()


class Forked:
    """A process that was forked and waits to be told whether it may begin."""

    def __init__(self, go: int) -> None:
        self.pid = 0
        self._go = go

    def go(self) -> None:
        """Lets it begin."""
        with contextlib.suppress(OSError):  # it is gone already
            os.write(self._go, b"g")
        self.close()

    def close(self) -> None:
        """What has not been let begin ends."""
        if self._go >= 0:
            os.close(self._go)
            self._go = -1


def _shared(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name != LEASE_VARIABLE}


def _kind(command: Command) -> object:
    """What processes of one template have in common."""
    return command.arguments[:-1], Path(command.arguments[-1]).parent, _shared(command.environment)


def _fits(command: Command) -> bool:
    return len(command.environment.get(LEASE_VARIABLE, "").encode()) == ID_LENGTH
