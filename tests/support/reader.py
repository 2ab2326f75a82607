"""A reader who does what a page says, from top to bottom, in an empty folder, with a home and an Athanor of their own.

Commands are typed into bash, files are saved under their titles, Python goes into one interpreter, as into a notebook.
What is different from what stands on the page:

- 127.0.0.1:7400 and :7401 are free ports, and postgresql://athanor@db.example.org/athanor is a database of the test;
- RUN, INSTANCE and RUNNER are the newest of their kind; twice on a line, also the one before, and so on;
- `grpcurl -plaintext` is spelled as `buf curl`, which makes the same call and comes with the development setup;
- commands that serve are left running, and ended at the end of the page or when the page starts the system anew;
- views that never end by themselves get Ctrl-C after some seconds;
- an experiment that is saved while the system runs is waited for: people are slower than discovery;
- an experiment that `athanor new` makes draws fewer points, so that a run of it takes a second less.

In the folder are `my-experiments/` (also in the home) and `.venv`, an environment with Athanor in it; in the home it is
`lab/.venv`.
"""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import uuid
from contextlib import closing
from itertools import count, islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import athanor
from athanor.client import Client

from tests.support.pages import Block, Line, split_shell, typed
from tests.support.system import BIN, MARKER, Child, clean_environment, processes_with, wait_until

TIMEOUT_S = 180.0  # of one command; a busy machine may take long over several runs
LOOK_S = 2.0  # how long a view is looked at that never ends
READY = {
    "athanor up": r"ready at ",
    "athanor-orchestrator": r"listening on ",
    "athanor-runner": r"connected to ",
}
ENDLESS = {("athanor", "runs", "watch"), ("athanor", "instances", "watch"), ("athanor", "top")}
INTERRUPTED = 130
POINTS, FEWER_POINTS = "200_000", "2_000"


class Reader:
    """See above. Raises AssertionError, which names the block, when something does not work as the page says."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self.home = folder / "home"
        self.place = folder / "here"
        self.place.mkdir(parents=True)
        for experiments in (self.place / "my-experiments", self.home / "my-experiments"):
            experiments.mkdir(parents=True)
        (self.home / "lab").mkdir()
        for environment in (self.place / ".venv", self.home / "lab" / ".venv"):
            environment.symlink_to(sys.prefix)
        self.addresses = {f"127.0.0.1:{port}": f"127.0.0.1:{free_port()}" for port in (7400, 7401)}
        self._database_url = database_url
        self._marker = uuid.uuid4().hex
        self.env = clean_environment() | {
            MARKER: self._marker,
            "HOME": str(self.home),
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "ATHANOR_LISTEN": self.addresses["127.0.0.1:7400"],
            "ATHANOR_TARGET": self.addresses["127.0.0.1:7400"],
            "COLUMNS": "160",
        }
        self._services: list[tuple[str, Child]] = []
        self._listening: set[str] = set()
        self._python: subprocess.Popen[str] | None = None
        self._said: str | None = None  # what the last Python block printed
        self._client: Client | None = None

    def follow(self, blocks: list[Block]) -> None:
        """Do what the blocks say, in order."""
        for block in blocks:
            if block.not_run is None:
                try:
                    self.do(block)
                except AssertionError as error:
                    raise AssertionError(f"{block}: {error}") from error

    def do(self, block: Block) -> None:
        """Do what one block says."""
        said, self._said = self._said, None
        if block.title is not None:
            file = self.place / block.title
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text)
            if self._services:
                self.wait_for(re.findall(r'@experiment\(name="(\w+)"', block.text))
        elif block.language == "console":
            for line in typed(block):
                self.enter(line)
        elif block.language == "python":
            self._said = self.execute(block)
        elif block.language == "text" and said is not None:
            shows(said, block.text.splitlines())
        elif block.language == "sql":
            self.ask_database(block.text)

    # Commands

    def enter(self, line: Line) -> None:
        """Type a line; its exit status is 0 unless it says `# exit status N` itself."""
        words = next(split_shell(line.text))
        endless = words[:2] in ENDLESS or words[:3] in ENDLESS
        service = next((name for name in READY if tuple(name.split()) == words[: len(name.split())]), None)
        if service == "athanor-runner" and words[1:2] == ("spool",):
            service = None
        if service is not None:
            self.serve(service, self.here(line.text))
            return
        if words[0] in ("athanor", "grpcurl") and words[1] != "new":
            self.ensure_served()
        expected = re.search(r"# exit status (\d+)", line.text)
        status, output = self.shell(self.here(line.text), endless=endless)
        allowed = {0, INTERRUPTED} if endless else {int(expected[1]) if expected else 0}
        assert status in allowed, f"{line.text}\nended with {status}:\n{output}"
        if words[:2] == ("athanor", "new"):
            self.draw_fewer_points(words[2])
        shows(output, line.shown)

    def here(self, text: str) -> str:
        """Say it as it has to be said here."""
        for there, here in self.addresses.items():
            text = text.replace(there, here)
        text = text.replace("postgresql://athanor@db.example.org/athanor", shlex.quote(self._database_url))
        if text.startswith("grpcurl"):
            text = as_buf_curl(text)
        for name, kind in (("RUN", "runs"), ("INSTANCE", "instances"), ("RUNNER", "runners")):
            older = count()
            text = re.sub(rf"\b{name}\b", lambda _, kind=kind, older=older: self.newest(kind, next(older)), text)
        return text

    def newest(self, kind: str, index: int) -> str:
        """The id of the newest run, or the one before it, and so on; a page that made none gets one of `hello`."""
        self.ensure_served()
        client = self.client()
        resources = {"runs": client.runs, "instances": client.instances, "runners": client.runners}
        while True:
            found = [*islice(resources[kind].list(), index + 1)]
            if len(found) > index:
                return found[index].id
            status, output = self.shell("athanor run hello")
            assert status == 0, output

    def wait_for(self, names: list[str]) -> None:
        """Until these experiments have been found."""
        missing = set(names)
        wait_until(
            lambda: missing <= {found.name for found in self.client().experiments.list()}, 20, f"{names} to be found"
        )

    def client(self) -> Client:
        """For what the reader has to know; what the page does it does by itself."""
        if self._client is None:
            self._client = athanor.connect(self.addresses["127.0.0.1:7400"])
        return self._client

    def draw_fewer_points(self, name: str) -> None:
        """See above."""
        source = self.place / name / f"{name}.py"
        text = source.read_text()
        assert POINTS in text, f"{source.name} no longer draws {POINTS} points"
        source.write_text(text.replace(POINTS, FEWER_POINTS))

    def shell(self, text: str, *, endless: bool = False) -> tuple[int, str]:
        """Have bash execute it; where it stands then and its environment are kept, as in a terminal."""
        after = self.home / ".after"
        script = f'{text}\nstatus=$?\n{{ pwd; env -0; }} > "{after}"\nexit $status\n'
        process = subprocess.Popen(
            ["bash", "-c", script],
            cwd=self.place,
            env=self.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate("yes\n", timeout=LOOK_S if endless else TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGINT if endless else signal.SIGKILL)
            output, _ = process.communicate(timeout=20)
            assert endless, f"{text}\nwas not done after {TIMEOUT_S:.0f} s:\n{output}"
            return process.returncode if process.returncode >= 0 else INTERRUPTED, output
        if after.exists():
            place, _, environment = after.read_text().partition("\n")
            self.place = Path(place)
            self.env = dict(entry.split("=", 1) for entry in environment.split("\0") if "=" in entry)
            after.unlink()
        return process.returncode, output

    # Services

    def ensure_served(self) -> None:
        """Pages other than the first ones take it that the system runs."""
        if not self._services:
            self.serve("athanor up", "athanor up --path my-experiments")

    def serve(self, name: str, text: str) -> None:
        """Start what serves; a system of before, which would be in its way, is ended as by Ctrl-C."""
        address = re.search(r"--listen (\S+)", text)
        listen = address[1] if address else self.env["ATHANOR_LISTEN"]
        if name != "athanor-runner":
            if listen in self._listening or "athanor up" in (name, *(served for served, _ in self._services)):
                self.stop_services()
            self._listening.add(listen)
        child = Child(
            f"{name.replace(' ', '-')}-{len(self._services)}",
            ["bash", "-c", f"cd {shlex.quote(str(self.place))} && exec {with_env(text)}"],
            folder=self.home,
            env=self.env,
        )
        self._services.append((name, child))
        child.wait_for_line(READY[name])

    def stop_services(self) -> None:
        """Those that were started last first."""
        self._listening.clear()
        while self._services:
            _, child = self._services.pop()
            child.send(signal.SIGTERM)
            child.wait(40)

    # Python and SQL

    def execute(self, block: Block) -> str:
        """Execute it in the page's interpreter, call the tests that it defines, and return what it printed."""
        if "connect" in block.text:
            self.ensure_served()
        if self._python is None:
            self._python = subprocess.Popen(
                [sys.executable, "-c", _INTERPRETER],
                cwd=self.place,
                env=self.env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self._python.stdin is not None
        assert self._python.stdout is not None
        self._python.stdin.write(json.dumps({"name": str(block), "text": self.here(block.text)}) + "\n")
        self._python.stdin.flush()
        answer: dict[str, Any] = json.loads(self._python.stdout.readline() or '{"error": "the interpreter died"}')
        assert "error" not in answer, answer["error"]
        return answer["output"]

    def ask_database(self, query: str) -> None:
        """The query can be asked of this page's database."""
        self.ensure_served()
        (file,) = [*self.home.rglob("athanor.db")][:1]
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
            connection.execute(query).fetchall()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._python is not None:
            self._python.kill()
            self._python.communicate()
        if self._client is not None:
            self._client.close()
        self.stop_services()
        wait_until(lambda: not processes_with(f"{MARKER}={self._marker}"), 10, "what the page started to end")
        shutil.rmtree(self.home)


def shows(output: str, expected: tuple[str, ...] | list[str]) -> None:
    """Every line that the page shows is in the output, in that order; `...` in it stands for anything."""
    lines = iter(output.splitlines())
    for line in expected:
        pattern = re.compile(re.escape(line.rstrip()).replace(re.escape("..."), ".*"))
        if line.strip() != "...":
            assert any(pattern.search(found.rstrip()) for found in lines), f"no line {line!r}, in order, in\n{output}"


def as_buf_curl(text: str) -> str:
    """Spell a call of grpcurl as one of buf."""
    words = shlex.split(text)
    body = ["-d", words[words.index("-d") + 1]] if "-d" in words else []
    address, method = words[-2:]
    buf = ["buf", "curl", "--protocol", "grpc", "--http2-prior-knowledge"]
    if method == "list":
        return shlex.join([*buf, "--list-services", f"http://{address}"])
    return shlex.join([*buf, *body, f"http://{address}/{method}"])


def with_env(text: str) -> str:
    """`exec` takes no assignments in front; `env` does."""
    return f"env {text}"


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# One interpreter for a page: blocks come as lines of JSON, what they print is caught, and their tests are called.
_INTERPRETER = """
import ast, asyncio, contextlib, inspect, io, json, sys, traceback, types
module = types.ModuleType("__main__")
sys.modules["__main__"] = module
sys.path.insert(0, "")
answers, names = sys.stdout, vars(module)
for line in sys.stdin:
    block = json.loads(line)
    before, printed = dict(names), io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            code = compile(block["text"], block["name"], "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            if code.co_flags & inspect.CO_COROUTINE:
                asyncio.run(eval(code, names))
            else:
                exec(code, names)
            for name, value in list(names.items()):
                if name.startswith("test_") and value is not before.get(name):
                    value()
        answer = {"output": printed.getvalue()}
    except BaseException:
        answer = {"error": traceback.format_exc() + printed.getvalue()}
    print(json.dumps(answer), file=answers, flush=True)
"""
