"""Ray: a head node on this machine, jobs and tasks. It executes; it keeps no record of runs beyond its own life."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.peers import peer
from benchmarks.peers.peer import Peer, Server, Victim, Way
from benchmarks.peers.processes import free_port, tree, wait_for_url
from benchmarks.peers.work import talk


class RayServer(Server):
    """`ray start --head`."""

    program = "ray_work.py"

    def __init__(self, python: Path, folder: Path, settings: Mapping[str, str]) -> None:
        super().__init__(python, folder, settings)
        self._port = free_port()
        self._dashboard = free_port()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._dashboard}"

    @property
    def cluster(self) -> str:
        """What `ray.init` is given."""
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        self._head = self.run(
            *(self.python.parent / "ray", "start", "--head", "--block", "--disable-usage-stats"),
            *("--node-ip-address", "127.0.0.1", "--port", str(self._port), "--num-cpus", "2"),
            *("--dashboard-host", "127.0.0.1", "--dashboard-port", str(self._dashboard)),
            *("--temp-dir", str(self.folder)),
            log="head",
        )
        # The agent that takes jobs comes last.
        wait_for_url(f"{self.address}/api/jobs/", self._head)

    def kill(self) -> None:
        """The head's own processes; not those that execute."""
        for process in tree([self._head.pid]):
            if any(name in process.command for name in ("gcs_server", "dashboard/dashboard.py")):
                process.kill()

    def left(self) -> str:
        """A job's lines stay in the files of its session, which the head that is started next does not know."""
        found: set[int] = set()
        for path in self.folder.glob("session_*/logs/job-driver-*.log"):
            found.update(
                number for line in path.read_text().splitlines() if (number := talk.number_in(line)) is not None
            )
        return f"{len(found)} in files of the session before"

    def kill_worker(self) -> None:
        """The node's raylet, which starts and watches the processes that execute."""
        for process in tree([self._head.pid]):
            if "/raylet/raylet" in process.command:
                process.kill()


def jobs(server: Server, count: int) -> Iterator[float]:
    """`submit_job` until the first line of its entry point; Python without Ray imported."""
    return peer.submitted(server, count, rest=False)


def tasks(server: Server, count: int) -> Iterator[float]:
    """`remote()` until the first line of a task in a worker process of its own (`max_calls=1`)."""
    assert isinstance(server, RayServer)
    return peer.submitted(server, count, "tasks", cluster=server.cluster)


PEER = Peer(
    name="ray",
    title="Ray",
    server=RayServer,
    ingest=(
        Way("buffered", "lines of a job, `tail_job_logs`", 20_000),
        Way("print", "the same, each line flushed to the file", 20_000),
    ),
    latency=(Way("print", "lines of a job, `tail_job_logs`"),),
    launch=(
        (Way("task", "task, a worker of its own (`max_calls=1`)", 10), tasks),
        (Way("job", "`submit_job`", 5), jobs),
    ),
    memory=(Way("default", "`ray start --head`, dashboard included"),),
    crash=(Way("print", "(lines of a job, asked by the API)"),),
    begin=peer.begin_by_submitting,
    power="may take the last lines (a file that is not flushed to disk)",
    victims=(
        Victim("run", "the job's process", peer.kill_run),
        Victim("worker", "the raylet", lambda server, pid: server.kill_worker()),
    ),
    apart={
        "ingest": "keeping records durably is not its task",
        "crash": "outliving its head is not its task without an external Redis",
    },
)
