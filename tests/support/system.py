"""A real Athanor: orchestrator and runners as processes of their own, in temporary folders, on ports of their own.

    with System(tmp_path) as system:
        system.start_orchestrator()
        system.start_runner()
        run = system.start_run("hello", {"times": 3})
        run = system.wait_for_end(run.id)

Everything here is blocking and made for tests: a test that does several things at once calls it in threads.
Whatever was started is ended by its process id, and `close` complains about what is left.
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
from athanor.v1 import experiment_service_pb2 as experiment_calls
from athanor.v1 import experiment_service_pb2_grpc as experiment_stubs
from athanor.v1 import instance_service_pb2 as instance_calls
from athanor.v1 import instance_service_pb2_grpc as instance_stubs
from athanor.v1 import run_event_pb2, run_pb2, run_policy_pb2
from athanor.v1 import run_service_pb2 as run_calls
from athanor.v1 import run_service_pb2_grpc as run_stubs
from athanor.v1 import runner_service_pb2_grpc as runner_stubs

BIN = Path(sys.executable).parent
START_TIMEOUT = 30.0  # seconds; two busy cores start an interpreter with gRPC in well under one
MARKER = "ATHANOR_TEST_SYSTEM"  # in the environment of every process of one System, and so of all their descendants
TERMINAL = (run_pb2.RUN_STATE_COMPLETED, run_pb2.RUN_STATE_FAILED, run_pb2.RUN_STATE_CANCELLED)


class Child:
    """A process whose lines of standard output are kept as they come, and whose standard error goes to a file."""

    def __init__(self, name: str, command: Sequence[str], *, folder: Path, env: Mapping[str, str]) -> None:
        self.name = name
        self.lines: list[str] = []
        self._log = folder / f"{name}.log"
        self._changed = threading.Condition()
        self._ended = False

        with self._log.open("ab") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=folder,
                env=dict(env),
                # Its own session: Ctrl-C at the test does not reach it; its group can be signalled as by a terminal.
                start_new_session=True,
            )
        self._reader = threading.Thread(target=self._read, name=f"{name} stdout", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def log(self) -> str:
        """What it wrote to standard error, this and earlier processes of the same name."""
        return self._log.read_text(errors="replace")

    def wait_for_line(self, pattern: str, timeout: float = START_TIMEOUT, *, after: int = 0) -> re.Match[str]:
        """The first match in its lines from number `after` on. AssertionError when it ends or takes too long."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                for line in self.lines[after:]:
                    if match := re.search(pattern, line):
                        return match
                left = deadline - time.monotonic()
                if self._ended or left <= 0:
                    break
                self._changed.wait(left)
        what = f"ended with {self._process.poll()}" if self._ended else f"was silent for {timeout} s"
        raise AssertionError(f"{self.name} {what}, no line like {pattern!r} in {self.lines}\n{self.log[-4000:]}")

    def wait(self, timeout: float = 30.0) -> int:
        """Its exit status, once it has ended."""
        try:
            status = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not end within {timeout} s\n{self.log[-4000:]}") from None
        self._reader.join(5)
        return status

    def send(self, number: signal.Signals) -> None:
        """Send it a signal. Nothing happens when it has ended and was waited for."""
        self._process.send_signal(number)

    def interrupt_group(self) -> None:
        """What Ctrl-C in a terminal does: SIGINT to every process of its group."""
        os.killpg(self.pid, signal.SIGINT)

    def stop(self, timeout: float = 30.0) -> int:
        """SIGTERM, and its exit status."""
        self.send(signal.SIGTERM)
        return self.wait(timeout)

    def kill(self) -> None:
        """SIGKILL, and wait."""
        self.send(signal.SIGKILL)
        self.wait()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            for line in stream:
                with self._changed:
                    self.lines.append(line.decode(errors="replace").rstrip("\n"))
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()


class System:
    """One orchestrator and any number of runners, with the blocking stubs of the public contract."""

    def __init__(
        self,
        folder: Path,
        *,
        database_url: str | None = None,
        paths: Sequence[Path] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.marker = uuid.uuid4().hex
        self.env = clean_environment() | {MARKER: self.marker} | dict(env or {})
        self.orchestrator: Child | None = None
        self.runners: dict[str, Child] = {}
        self.others: list[Child] = []
        self._database_url = database_url
        self._paths = paths
        self._address: str | None = None
        self._channel: grpc.Channel | None = None
        folder.mkdir(parents=True, exist_ok=True)

    # Processes

    def start_orchestrator(self) -> None:
        """Start it, on the port it had before if there was one, and wait until it serves."""
        command = [sys.executable, "-m", "athanor_orchestrator"]
        command += ["--listen", self._address or "127.0.0.1:0", "--data", str(self.folder / "data")]
        if self._database_url is not None:
            command += ["--database-url", self._database_url]
        self.orchestrator = Child("orchestrator", command, folder=self.folder, env=self.env)
        self._address = self.orchestrator.wait_for_line(r"^athanor-orchestrator listening on (\S+)$")[1]

    def start_runner(self, name: str = "runner", *options: str, wait: bool = True) -> Child:
        """Start a runner with a state folder of its own name, and wait until it is welcomed."""
        command = [sys.executable, "-m", "athanor_runner", "--target", self.target, "--name", name]
        command += ["--state", str(self.folder / name)]
        for path in self._paths:
            command += ["--path", str(path)]
        runner = Child(name, [*command, *options], folder=self.folder, env=self.env)
        self.runners[name] = runner
        if wait:
            runner.wait_for_line(r"^athanor-runner \S+ connected to ")
        return runner

    def start(self, name: str, *command: str, env: Mapping[str, str] | None = None) -> Child:
        """Start anything else that belongs to this system and is ended with it."""
        child = Child(name, command, folder=self.folder, env=self.env | dict(env or {}))
        self.others.append(child)
        return child

    def cli(self, *arguments: str, timeout: float = 60.0, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the `athanor` command against this system. Without a terminal, as in a script."""
        done = subprocess.run(
            [str(BIN / "athanor"), *arguments],
            cwd=self.folder,
            env=self.env | ({"ATHANOR_TARGET": self._address} if self._address else {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"athanor {' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def cli_json(self, *arguments: str, timeout: float = 60.0) -> Any:
        """What the command prints with --json."""
        return json.loads(self.cli(*arguments, "--json", timeout=timeout).stdout)

    # Calls

    @property
    def target(self) -> str:
        """HOST:PORT of the orchestrator."""
        assert self._address is not None, "start the orchestrator first"
        return self._address

    def use(self, address: str) -> None:
        """Call an orchestrator that was started in another way."""
        if self._channel is not None and address != self._address:
            self._channel.close()
            self._channel = None
        self._address = address

    @property
    def channel(self) -> grpc.Channel:
        """One channel, which reconnects quickly after a restart."""
        if self._channel is None:
            options = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500)]
            self._channel = grpc.insecure_channel(self.target, options=options)
        return self._channel

    @property
    def experiments(self) -> experiment_stubs.ExperimentServiceStub:
        return experiment_stubs.ExperimentServiceStub(self.channel)

    @property
    def instances(self) -> instance_stubs.InstanceServiceStub:
        return instance_stubs.InstanceServiceStub(self.channel)

    @property
    def runs(self) -> run_stubs.RunServiceStub:
        return run_stubs.RunServiceStub(self.channel)

    @property
    def fleet(self) -> runner_stubs.RunnerServiceStub:
        return runner_stubs.RunnerServiceStub(self.channel)

    def wait_for_experiment(self, name: str, timeout: float = START_TIMEOUT) -> None:
        """Return once a connected runner can execute the experiment."""

        def known() -> bool:
            try:
                answer = self.experiments.GetExperiment(experiment_calls.GetExperimentRequest(name=name), timeout=5)
            except grpc.RpcError as error:
                if error.code() is grpc.StatusCode.NOT_FOUND:
                    return False
                raise
            return answer.experiment.available_runner_count > 0

        wait_until(known, timeout, f"experiment {name} to become known")

    def start_run(
        self,
        experiment: str,
        configuration: Mapping[str, Any] | None = None,
        *,
        policy: run_policy_pb2.RunPolicy | None = None,
        request_id: str | None = None,
        seed: int | None = None,
        wait_for_runner: bool = True,
    ) -> run_pb2.Run:
        """Create an instance and start a run of it."""
        if wait_for_runner:
            self.wait_for_experiment(experiment)
        create = instance_calls.CreateInstanceRequest(request_id=uuid.uuid4().hex)
        create.instance.experiment = experiment
        create.instance.name = experiment
        create.instance.configuration_json = json.dumps(configuration or {})
        instance = self.instances.CreateInstance(create, timeout=10).instance

        start = run_calls.StartRunRequest(
            instance_id=instance.id, policy=policy, request_id=request_id or uuid.uuid4().hex, seed=seed
        )
        return self.runs.StartRun(start, timeout=10).run

    def get_run(self, run_id: str, timeout: float = 20.0) -> run_pb2.Run:
        """The run; asked for again while an orchestrator that was killed is not back yet."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                request = run_calls.GetRunRequest(id=run_id)
                return self.runs.GetRun(request, timeout=timeout, wait_for_ready=True).run
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE or time.monotonic() > deadline:
                    raise

    def cancel_run(self, run_id: str, reason: str = "") -> run_pb2.Run:
        return self.runs.CancelRun(run_calls.CancelRunRequest(id=run_id, reason=reason), timeout=10).run

    def wait_for_state(self, run_id: str, *states: int, timeout: float = 60.0) -> run_pb2.Run:
        """The run, once it is in one of the states. AssertionError when it ends in another or takes too long."""
        deadline = time.monotonic() + timeout
        while True:
            run = self.get_run(run_id)
            if run.state in states:
                return run
            if run.state in TERMINAL or time.monotonic() > deadline:
                raise AssertionError(f"waited for {[run_pb2.RunState.Name(state) for state in states]}, but\n{run}")
            time.sleep(0.02)

    def wait_for_end(self, run_id: str, timeout: float = 60.0) -> run_pb2.Run:
        """The run, once it has ended, however that was."""
        return self.wait_for_state(run_id, *TERMINAL, timeout=timeout)

    def events(self, run_id: str) -> list[run_event_pb2.RunEvent]:
        """The whole log, page by page."""
        return list(self._events(run_id))

    def _events(self, run_id: str) -> Iterator[run_event_pb2.RunEvent]:
        request = run_calls.ListRunEventsRequest(run_id=run_id, page_size=10_000)
        while True:
            page = self.runs.ListRunEvents(request, timeout=30)
            yield from page.events
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    # What is left

    def processes(self) -> list[int]:
        """Every living process of this system: those started here and all their descendants, wherever they went."""
        return processes_with(f"{MARKER}={self.marker}")

    def run_processes(self) -> list[int]:
        """Those of them that belong to an attempt; what describes the experiments carries a mark of its own."""
        mark = re.compile(rb"(^|\0)ATHANOR_LEASE_ID=(?!describe-)")
        return [pid for pid in self.processes() if mark.search(environment(pid))]

    def close(self) -> None:
        """End what was started, runners first so that they can say goodbye; then nothing may be left."""
        if self._channel is not None:
            self._channel.close()
        children = [*self.others, *self.runners.values(), *([self.orchestrator] if self.orchestrator else [])]
        for child in children:
            if child.alive:
                child.send(signal.SIGTERM)
                with suppress(AssertionError):
                    child.wait(20)

        # A process that is just being reaped still shows for a moment.
        with suppress(AssertionError):
            wait_until(lambda: not self.processes(), 5, "processes to end")
        left = {pid: command_line(pid) for pid in self.processes()}
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for child in children:
            if child.alive:
                child.wait()
        assert not left, f"processes were left: {left}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
            return
        # The failure of the test matters more than what it left behind; show what the services said.
        with suppress(AssertionError):
            self.close()
        for child in [*self.others, *self.runners.values(), *([self.orchestrator] if self.orchestrator else [])]:
            print(f"--- {child.name} ({child.pid}): {child.lines[-20:]}\n{child.log[-6000:]}")


def clean_environment() -> dict[str, str]:
    """The environment without what could make a service here depend on the machine of the test."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("ATHANOR_", "PYTEST_", "XDG_"))}


def wait_until(condition: Callable[[], object], timeout: float, what: str) -> None:
    """Return once the condition holds; AssertionError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout} s for {what}")
        time.sleep(0.02)


def processes_with(entry: str) -> list[int]:
    """Living processes (no zombies) that have this `NAME=value` in their environment."""
    wanted = b"\0" + entry.encode() + b"\0"
    return [
        int(path.name)
        for path in Path("/proc").iterdir()
        if path.name.isdigit() and wanted in b"\0" + environment(int(path.name)) + b"\0"
    ]


def environment(pid: int) -> bytes:
    """Its environment as the kernel shows it; empty when it is gone or a zombie."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
