"""A template of runs' processes: an interpreter that has imported what every run needs, and forks for each of them.

`python -m athanor.experiment.execute` becomes one when its environment says so, and each process that it forks goes on
there as if it had just been started. It has one thread and imports nothing of an author's, nor what does not survive a
fork. The runner and it talk by one socket, a message each time:

    template   `ready`; or why it cannot be one, before it ends
    runner     {"folder", "lease_id"}, with the descriptors of stdout, stderr, the start signal and the doorbell
    template   {"pid"} of a process that waits for the start signal; or {"refused"}, and why

It has a spare, forked in advance, which waits for the order itself, marks itself for the lease, and says so. It forks
twice for that: the process in between stays until the spare is wanted, so that the spare is the template's affair and
nobody takes it for something that a run has left behind; then it goes, and the spare's parent is the runner, who buries
it. What is without the marker has executed nothing of an attempt, and ends with the template.
"""

import atexit
import contextlib
import ctypes
import gc
import importlib
import io
import json
import logging
import os
import select
import signal
import site
import socket
import sys
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from athanor.experiment.assignment import DOORBELL_VARIABLE, LEASE_VARIABLE, TEMPLATE_VARIABLE, Assignment

# With what a process that was forked ends; to be set before it does.
exit_status = 1

_BUFFERED = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)

READY = b"ready"
WANTED = b"wanted"  # from the spare to the template: an order has come
MAX_MESSAGE_BYTES = 64 << 10
ID_LENGTH = 36  # of a lease's id
PAUSE_S = 0.03  # before the next spare is made: what was just started needs the processor more, unless others wait

# Threads, connections and devices of these do not survive a fork, nor should anybody's version of them be had already.
NEVER_IMPORTED = ("grpc", "google.protobuf", "numpy", "torch", "tensorflow", "jax")


class Unfit(Exception):
    """This interpreter cannot be, or no longer is, a template. The text says why."""


class Order(NamedTuple):
    """A process to be made."""

    folder: str
    lease_id: str
    stdout: int
    stderr: int
    go: int  # gives one byte when the process may begin, and ends when it is not wanted any more
    doorbell: int


def variable_of(descriptor: int) -> str:
    """The value of TEMPLATE_VARIABLE for the socket of this descriptor: as long as a lease's id."""
    return str(descriptor).ljust(ID_LENGTH, "-")


def serve() -> None:
    """Serve the runner until it is gone. Returns in each process that is made for a run."""
    with socket.socket(fileno=int(os.environ.pop(TEMPLATE_VARIABLE).rstrip("-"))) as runner:
        try:
            room = _Room.find()
            models = _warm_up()
            sources = tuple(_sources())
            made = _Template(room, sources, _marks(sources), frozenset(sys.modules), models)
            _check_fitness()
        except Exception as error:  # noqa: BLE001 - whatever it is, runs are started in the other way
            runner.send(f"{type(error).__name__}: {error}".encode()[:MAX_MESSAGE_BYTES])
            sys.exit(1)
        # What was imported is never looked at by the collector, which would make copies of its memory in every run.
        gc.collect()
        gc.freeze()
        runner.send(READY)
        while True:
            order = _with_a_spare(runner, made)
            if order is not None:
                break
            select.select([runner], [], [], PAUSE_S)
    _end_last(made.modules)
    _become(order)


def _warm_up() -> bool:
    """Import what runs need, down to what pydantic leaves for when the first model is made, if one may be.

    Making one would import pydantic's plugins, and they are anybody's. Tells whether it may be.
    """
    from importlib import metadata  # here, because the runner, which imports this module, does without

    importlib.import_module("pydantic")
    models = not metadata.entry_points(group="pydantic")
    if models:
        _rehearse()
    return models


def _rehearse() -> None:
    """Do what every run does at its start, in memory: a configuration, an experiment of it, its first line."""
    import pydantic

    from athanor.experiment import RunContext, experiment
    from athanor.experiment.testing import run_experiment

    class Model(pydantic.BaseModel):
        number: int = pydantic.Field(1, ge=0)
        texts: list[str] | None = None

    @experiment
    def rehearsal(ctx: RunContext[Model]) -> None:
        ctx.log("info", "rehearsed", {"number": ctx.config.number})

    Assignment.from_json(Assignment("", "", "", "", 1, "", "", "{}", 0, 1).to_json())
    run_experiment(rehearsal, {"number": 2}, capture=True)


def _sources() -> Iterator[str]:
    """The files and folders by whose change a new interpreter would be another than this."""
    yield sys.executable
    yield os.__file__  # stands for all of the standard library, which is renewed as a whole
    for folder in (*site.getsitepackages(), *filter(None, (site.USER_SITE,))):
        yield folder  # its time changes with what is installed and removed
        yield from (str(path) for path in Path(folder).glob("*.pth"))
    standard = os.path.dirname(os.__file__) + os.sep
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        if path is not None and (not path.startswith(standard) or "-packages" in path):
            yield path


def _marks(sources: tuple[str, ...]) -> list[object]:
    marks: list[object] = []
    for path in sources:
        try:
            status = os.stat(path)
            marks.append((status.st_mtime_ns, status.st_size, status.st_ino))
        except OSError:
            marks.append(None)
    return marks


def _check_fitness() -> None:
    imported = [name for name in NEVER_IMPORTED if name in sys.modules]
    if imported:
        raise Unfit(f"{', '.join(imported)} is imported at the start of every interpreter")
    if len(os.listdir("/proc/self/task")) != 1:
        raise Unfit("the interpreter has more than one thread from its start")


def _with_a_spare(runner: socket.socket, made: "_Template") -> Order | None:
    """Make a spare and wait until it has been used. Returns what it is to do in the spare, None in the template."""
    _check_fitness()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    between = os.fork()
    if between == 0:
        try:
            ours.close()
            spare = os.fork()
            if spare == 0:
                with theirs:
                    return _wait(runner, theirs, made)
            theirs.close()
            runner.close()
            os.waitpid(spare, 0)  # until the template sends it away
            os._exit(0)
        except BaseException:  # noqa: BLE001 - it must not go on as a second template
            os._exit(1)
    with ours:
        theirs.close()
        wanted = ours.recv(MAX_MESSAGE_BYTES)
        # While the spare prepares itself: the end of a process takes as long as that.
        os.kill(between, signal.SIGKILL)
        os.waitpid(between, 0)
        answer = ours.recv(MAX_MESSAGE_BYTES) if wanted else b""
    if not answer:
        os._exit(0)  # the runner is gone, or will take another template
    runner.send(answer)
    return None


def _wait(runner: socket.socket, template: socket.socket, made: "_Template") -> Order:
    """Wait as a spare for an order and mark this process for it. Ends it when there will be none, or it cannot be."""
    os.setsid()
    ready, _, _ = select.select([runner, template], [], [], 0)
    if not ready:
        # What these touch of the shared memory is copied now, while nobody waits.
        if made.models:
            _rehearse()
        _marks(made.sources)
        ready, _, _ = select.select([runner, template], [], [])
    if template in ready:  # it says nothing: it is gone
        os._exit(0)
    template.send(WANTED)
    order = _receive(runner)
    if order is None:
        os._exit(0)
    try:
        if _marks(made.sources) != made.marks:
            raise Unfit("what it has imported was changed, or something was installed")
        made.room.fill(order)
    except (Unfit, OSError) as error:
        template.send(json.dumps({"refused": str(error)}).encode())
        os._exit(1)
    template.send(json.dumps({"pid": os.getpid()}).encode())
    return order


def _receive(runner: socket.socket) -> Order | None:
    """Take an order; None when there will be no more."""
    message, descriptors, _, _ = socket.recv_fds(runner, MAX_MESSAGE_BYTES, 4)
    if not message:
        return None
    content = json.loads(message)
    stdout, stderr, go, doorbell = descriptors
    return Order(content["folder"], content["lease_id"], stdout, stderr, go, doorbell)


def _become(order: Order) -> None:
    """Be like a process that was started for the order. Ends it when the runner does not want it any more."""
    os.dup2(order.stdout, 1)
    os.dup2(order.stderr, 2)
    os.environ[LEASE_VARIABLE] = order.lease_id
    os.environ[DOORBELL_VARIABLE] = str(order.doorbell)
    sys.argv[1:] = [order.folder]
    sys.orig_argv[-1] = order.folder
    wanted = os.read(order.go, 1)
    for descriptor in (order.stdout, order.stderr, order.go):
        os.close(descriptor)
    if not wanted:
        os._exit(1)


def _end_last(shared: frozenset[str]) -> None:
    """Have `_end` called behind all else that is called at the end, also behind what the template's imports ask for."""
    atexit.register(_end, os.getpid(), shared)  # the first to be registered is the last to be called
    finalize: Callable[[], object] = getattr(weakref.finalize, "_exitfunc")  # noqa: B009 - it has no public name
    for called in (logging.shutdown, finalize):
        atexit.unregister(called)
        atexit.register(called)


def _end(process: int, shared: frozenset[str]) -> None:
    """Take apart what the run has imported and made, as the end of an interpreter does, and end the process.

    Threads have ended and everything else that was to be called has been. What the template had imported stays: to take
    that apart, too, would first make a copy of nearly all of its memory, which takes ten times as long as the fork.
    """
    if os.getpid() != process:
        return  # a child that the experiment forked
    _flush_files()
    modules: list[object] = [sys.modules.pop(name) for name in list(sys.modules) if name not in shared]
    left = [weakref.ref(module) for module in modules if isinstance(module, ModuleType)]
    modules.clear()
    gc.collect()
    for reference in reversed(left):
        module = reference()
        if module is not None:
            for name in vars(module).keys() - {"__builtins__"}:
                vars(module)[name] = None
    gc.collect()
    # Not os._exit: what libraries in C have asked for at the end is done; and with the interpreter's lock held, so that
    # no thread that was left runs on meanwhile.
    ctypes.PyDLL(None).exit(exit_status)


def _flush_files() -> None:
    """Write what files hold back: the collector may take what they write to before them."""
    for held in (sys.stdout, sys.stderr, *gc.get_objects()):
        if issubclass(type(held), _BUFFERED):
            with contextlib.suppress(Exception):  # it is closed, or its disk is full
                held.flush()


class _Template(NamedTuple):
    """What a spare has to know."""

    room: "_Room"
    sources: tuple[str, ...]
    marks: list[object]
    modules: frozenset[str]  # that it has imported
    models: bool  # it may make models, and so rehearse


class _Room(NamedTuple):
    """Where the memory is that /proc shows as environment and command line, whatever the process makes of them.

    It is what the process was started with, and may be written over with as much.
    """

    marker: int  # address of the entry that becomes the marker
    argument: int  # address of the last argument; 0 when it was not found
    argument_length: int

    @classmethod
    def find(cls) -> "_Room":
        """Find it. Raises Unfit where the system does not say."""
        fields = Path("/proc/self/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        arguments_start, arguments_end, start, end = (int(field) for field in fields[45:49])
        entry = f"{TEMPLATE_VARIABLE}=".encode()
        block = b"\0" + ctypes.string_at(start, end - start) if end > start > 0 else b""
        at = block.find(b"\0" + entry)
        if at < 0 or block.find(b"\0", at + 1) != at + 1 + len(entry) + ID_LENGTH:
            raise Unfit("the system does not say where the environment is")
        last = os.fsencode(sys.argv[-1]) + b"\0"
        named = ctypes.string_at(arguments_start, arguments_end - arguments_start).endswith(b"\0" + last)
        return cls(start + at, arguments_end - len(last) if named else 0, len(last) - 1)

    def fill(self, order: Order) -> None:
        """Show the marker of a lease, and the folder of its attempt."""
        marker = f"{LEASE_VARIABLE}={order.lease_id}".encode()
        if len(marker) != len(TEMPLATE_VARIABLE) + 1 + ID_LENGTH:
            raise Unfit("a lease's id of another length")
        ctypes.memmove(self.marker, marker, len(marker))
        folder = os.fsencode(order.folder)
        if self.argument and len(folder) == self.argument_length:
            ctypes.memmove(self.argument, folder, len(folder))
