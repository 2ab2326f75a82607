"""A live run of a real runner while the database is locked, full, hangs, or is away: the run does not notice.

Everything is shortened: the trouble lasts twice as long as a runner may be silent without being called so.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from athanor.v1 import experiment_service_pb2, run_event_pb2, run_pb2, run_service_pb2
from athanor_orchestrator.engine.timings import Timings
from athanor_orchestrator.storage.database import ANSWER_S
from google.rpc import error_details_pb2
from grpc import StatusCode, aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support import trouble
from tests.support.api import Api, refused, serving
from tests.support.databases import PostgresqlStock, sqlite_url
from tests.support.ledger import Ledger, recorded_lines
from tests.support.postgresql_server import PostgresqlServer
from tests.support.runner import Runner

EXPERIMENTS = Path(__file__).parents[1] / "acceptance" / "experiments"
TIMINGS = Timings(
    heartbeat_interval=0.3,
    unreachable_after=3.0,
    reaper_interval=0.3,
    storage_probe=0.5,
    storage_probe_again=0.2,
    storage_slow=1.0,
)
LASTS = 7.0  # seconds of trouble: runners give their session up meanwhile, after 5 without an answer
SOON = 5.0  # seconds in which it is noticed, at the beginning and at the end; the machine may be busy

KINDS = [
    "sqlite locked",
    "sqlite full",
    "postgresql locked",
    "postgresql full",
    "postgresql hanging",
    "postgresql away",
]


@pytest.fixture(scope="module")
def own_server() -> Iterator[PostgresqlServer]:
    """A server that tests may stop, and start again."""
    with PostgresqlServer() as server:
        yield server


@pytest.fixture
def url(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    if kind.startswith("sqlite"):
        yield sqlite_url(tmp_path / "athanor.db")
    elif kind in ("postgresql hanging", "postgresql away"):
        server: PostgresqlServer = request.getfixturevalue("own_server")
        yield server.url(server.create())
    else:
        stock: PostgresqlStock = request.getfixturevalue("postgresql_stock")
        name = stock.take()
        yield stock.server.url(name)
        stock.give_back(name)


@asynccontextmanager
async def in_trouble(kind: str, url: str, api: Api, request: pytest.FixtureRequest) -> AsyncIterator[None]:
    match kind.split()[1]:
        case "hanging":
            with request.getfixturevalue("own_server").frozen():
                yield
        case "away":
            server: PostgresqlServer = request.getfixturevalue("own_server")
            server.stop()
            yield
            server.start()
        case other:
            async with trouble.trouble(other, url, api.orchestrator.database):
                yield


class Health:
    """What a watcher of health is told."""

    def __init__(self, api: Api) -> None:
        self._stub = health_pb2_grpc.HealthStub(api.channel)
        self._watch = self._stub.Watch(health_pb2.HealthCheckRequest(service="athanor.v1.RunService"))

    async def until(self, status: int) -> None:
        """Read on until it is told; then it is what is answered for the server, too."""
        async with asyncio.timeout(SOON):
            while (await self._watch.read()).status != status:
                pass
        answer = await self._stub.Check(health_pb2.HealthCheckRequest())
        assert answer.status == status

    def close(self) -> None:
        self._watch.cancel()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", KINDS)
async def test_trouble_with_the_database_ends_nothing_and_is_over_by_itself(
    kind: str, url: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    trouble.impatient(monkeypatch)
    ledger, stop_file = Ledger(tmp_path / "ledger"), tmp_path / "stop"
    async with serving(url, timings=TIMINGS) as api:
        runner = await Runner.start(f"127.0.0.1:{api.orchestrator.port}", tmp_path, "--path", str(EXPERIMENTS))
        try:
            run_id = await start_ledger(api, ledger, stop_file)
            # A run of it takes more room than a full disk has left for little things.
            large = json.dumps({"path": str(tmp_path / "other"), "count": 1, "stop_file": "x" * 100_000})
            other = await api.create_instance("ledger", configuration=large)
            health = Health(api)
            await health.until(health_pb2.HealthCheckResponse.SERVING)
            async with in_trouble(kind, url, api, request):
                began, written = time.monotonic(), len(ledger)
                await health.until(health_pb2.HealthCheckResponse.NOT_SERVING)
                await a_call_is_refused(api, other.id)
                if kind.startswith("sqlite"):
                    await get(api, run_id)  # reading goes on
                await asyncio.sleep(began + LASTS - time.monotonic())
                assert len(ledger) > written + 500, "the experiment does not notice"
            await health.until(health_pb2.HealthCheckResponse.SERVING)
            health.close()

            for _ in range(30):  # nobody was silent but the database
                run = await get(api, run_id)
                assert not run.HasField("unreachable_since")
                assert run.state == run_pb2.RUN_STATE_RUNNING
                await asyncio.sleep(0.1)
            await api.start_run(other.id)

            stop_file.touch()
            async with asyncio.timeout(30):
                while (run := await get(api, run_id)).state == run_pb2.RUN_STATE_RUNNING:
                    await asyncio.sleep(0.05)
            assert run.state == run_pb2.RUN_STATE_COMPLETED, str(run)
            (attempt,) = run.attempts
            assert attempt.log_complete

            events = [event async for event in log_of(api, run_id)]
            assert [event.sequence for event in events] == list(range(1, run.last_sequence + 1))
            assert recorded_lines(events) == ledger.lines()
        finally:
            runner.signal()
            await runner.wait()


async def start_ledger(api: Api, ledger: Ledger, stop_file: Path) -> str:
    """Start a run that records until the file is there, and wait until it does."""
    wanted = experiment_service_pb2.GetExperimentRequest(name="ledger")
    async with asyncio.timeout(30):
        while True:
            try:
                if (await api.experiments.GetExperiment(wanted)).experiment.available_runner_count:
                    break
            except aio.AioRpcError:
                await asyncio.sleep(0.05)
        configuration = {
            "path": str(ledger.path),
            "stop_file": str(stop_file),
            "count": 10_000_000,
            "per_second": 300,
        }
        instance = await api.create_instance("ledger", configuration=json.dumps(configuration))
        run = await api.start_run(instance.id)
        while len(ledger) < 100:
            await asyncio.sleep(0.05)
    return run.id


async def a_call_is_refused(api: Api, instance_id: str) -> None:
    began = time.monotonic()
    refusal = await refused(api.runs.StartRun(run_service_pb2.StartRunRequest(instance_id=instance_id)))
    assert (refusal.code, refusal.reason) == (StatusCode.UNAVAILABLE, "STORAGE_UNAVAILABLE")
    assert refusal.detail(error_details_pb2.RetryInfo) is not None
    assert time.monotonic() - began < ANSWER_S + 1


async def get(api: Api, run_id: str) -> run_pb2.Run:
    return (await api.runs.GetRun(run_service_pb2.GetRunRequest(id=run_id), timeout=5)).run


async def log_of(api: Api, run_id: str) -> AsyncIterator[run_event_pb2.RunEvent]:
    request = run_service_pb2.ListRunEventsRequest(run_id=run_id, page_size=10_000)
    while True:
        page = await api.runs.ListRunEvents(request)
        for event in page.events:
            yield event
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token
