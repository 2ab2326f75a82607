"""The client that blocks, over real connections, against an orchestrator that does what the test tells it to."""

import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator

import athanor
import grpc
import IPython.display
import pytest
from athanor.client import (
    Begun,
    Client,
    LogEntry,
    NotFoundError,
    ProgressUpdated,
    RunChanged,
    RunState,
    RunUpdated,
    Synced,
    UnavailableError,
    WaitTimeoutError,
)
from athanor.v1 import run_pb2, run_service_pb2

from tests.support.elsewhere import Elsewhere


@pytest.fixture
def there() -> Iterator[Elsewhere]:
    there = Elsewhere()
    yield there
    there.close()


@pytest.fixture
def client(there: Elsewhere) -> Iterator[Client]:
    with athanor.connect(there.target) as client:
        yield client


def test_from_an_experiment_to_the_end_of_its_run(client, there):
    big = 2**70
    instance = client.experiments.get("hello").create_instance({"n": big}, name="mine")
    assert instance.configuration == {"n": big}
    assert client.instances.get(instance) == instance
    assert instance.update(name="other").name == "other"

    run = instance.start(labels={"k": "v"})
    assert (run.state, run.labels) == (RunState.PENDING, {"k": "v"})
    assert [other.id for other in instance.runs()] == [run.id]
    assert run.instance() == instance

    fake, kept = there.fake, there.run(run.id)
    there.do(fake.begin, kept)
    there.do(fake.log, kept, "one", 10)
    there.do(fake.log, kept, "two", 30)
    there.do(fake.result, kept, "score", "0.5")
    assert run.refresh().state is RunState.RUNNING
    assert [entry.message for entry in run.logs(level="warn")] == ["two"]
    assert [result.value for result in client.runs.results(run)] == [0.5]

    there.later(0.05, lambda: fake.log(kept, "three"), lambda: fake.end(kept))
    assert [entry.message for entry in run.logs(follow=True)] == ["one", "two", "three"]
    assert run.state is RunState.COMPLETED
    assert run.wait() is run


def test_a_watch_gives_everything_once_whatever_happens_to_the_orchestrator(client, there):
    fake, kept = there.fake, there.do(there.fake.add_run)
    there.do(fake.begin, kept)
    for number in range(10):
        there.do(fake.log, kept, f"m{number}")
    messages = list[str]()
    told = list[object]()
    with client.runs.watch(kept.run.id, on_interruption=told.append) as watch:
        for item in watch:
            if isinstance(item, LogEntry):
                messages.append(item.message)
            if messages and messages[-1] == "m4" and not told:
                there.kill()
                there.do(fake.log, kept, "m10")
                there.do(fake.end, kept)
                threading.Timer(0.2, there.start).start()
                told.append("killed")
        assert isinstance(item, RunUpdated)
        assert item.run.state is RunState.COMPLETED
    assert messages == [f"m{number}" for number in range(11)]


def test_progress_is_given(client, there):
    fake, kept = there.fake, there.do(there.fake.add_run)
    there.do(fake.begin, kept)
    kept.progress = run_pb2.Progress(current=5, total=10)
    there.later(0.1, lambda: fake.end(kept))
    items = list(client.runs.watch(kept.run.id))
    assert [item.progress.current for item in items if isinstance(item, ProgressUpdated)] == [5]


def test_waiting_ends_when_the_time_is_over_and_the_run_goes_on(client, there):
    kept = there.do(there.fake.add_run)
    run = client.runs.get(kept.run.id)
    begin = time.monotonic()
    with pytest.raises(WaitTimeoutError):
        run.wait(0.2)
    assert 0.15 < time.monotonic() - begin < 5
    assert there.fake.called("CancelRun") == []


def test_an_orchestrator_that_is_away_is_named_with_advice(there):
    there.kill()
    with Client(there.target, retry_for=0.3) as client:
        with pytest.raises(UnavailableError, match=f"{there.target} is not available: connection refused") as caught:
            client.experiments.get("hello")
        assert "athanor up" in caught.value.advice
        with pytest.raises(UnavailableError):
            next(iter(client.runs.watch("r")))


def test_a_call_survives_a_restart_of_the_orchestrator(client, there):
    assert client.experiments.get("hello").name == "hello"
    there.kill()
    threading.Timer(0.3, there.start).start()
    assert client.experiments.get("hello").name == "hello"


def test_a_call_that_must_not_be_repeated_goes_to_one_that_is_there():
    away, there = Elsewhere(), Elsewhere()
    away.kill()
    kept = there.do(there.fake.add_run)
    there.do(there.fake.end, kept)
    with athanor.connect(f"{away.target},{there.target}") as client:
        client.runs.delete(kept.run.id)  # not made again
        with pytest.raises(NotFoundError):
            client.runs.get(kept.run.id)
    assert len(there.fake.called("DeleteRun")) == 1
    away.close()
    there.close()


def test_all_runs_are_watched(client, there):
    response = run_service_pb2.WatchRunsResponse
    there.do(there.fake.send, "WatchRuns", response(run=run_pb2.Run(id="r", state=run_pb2.RUN_STATE_RUNNING)))
    there.do(there.fake.send, "WatchRuns", response(synced={}))
    with client.runs.watch_all() as watch:
        items = [next(watch) for _ in range(3)]
    assert isinstance(items[0], Begun)
    assert isinstance(items[1], RunChanged)
    assert items[1].run.id == "r"
    assert isinstance(items[2], Synced)


def test_a_run_is_shown_live_to_its_end(client, there, monkeypatch):
    shown = list[str]()
    monkeypatch.setattr(IPython.display, "display", lambda view, **options: shown.append(view._repr_html_()))
    run = client.runs.get(there.do(there.fake.add_run).run.id)
    kept = there.run(run.id)
    there.do(there.fake.begin, kept)
    there.later(0.05, lambda: there.fake.log(kept, "one step"), lambda: there.fake.end(kept))
    assert run.live() is run
    assert run.state is RunState.COMPLETED
    assert "one step" in shown[-1]
    assert "COMPLETED" in shown[-1]


def test_several_threads_may_use_one_client(client, there):
    runs = [there.do(there.fake.add_run).run.id for _ in range(8)]
    found = list[str]()
    threads = [
        threading.Thread(target=lambda id=id: found.extend(client.runs.get(id).id for _ in range(20))) for id in runs
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(found) == sorted(runs * 20)


async def test_it_works_where_an_event_loop_runs_as_in_the_cell_of_a_notebook(client, there):
    run = client.instances.create("hello").start()
    kept = there.run(run.id)
    there.do(there.fake.begin, kept)
    there.later(0.05, lambda: there.fake.log(kept, "one"), lambda: there.fake.end(kept))
    assert [entry.message for entry in run.logs(follow=True)] == ["one"]
    async with athanor.connect_async(there.target) as other:
        assert await other.runs.get(run.id) == run.wait()


def test_closing_ends_what_waits_in_another_thread_and_says_why(client, there):
    run = client.runs.get(there.do(there.fake.add_run).run.id)
    errors = list[Exception]()

    def wait() -> None:
        try:
            run.wait()
        except Exception as error:
            errors.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    while not there.fake.called("WatchRun"):
        time.sleep(0.01)
    client.close()
    waiting.join(10)
    assert [str(error) for error in errors] == ["this client has been closed"]


def test_the_traceback_of_an_error_does_not_lead_through_grpc(there):
    there.kill()
    with Client(there.target, retry_for=0.0) as client:
        for call in (lambda: client.runs.get("r"), lambda: next(client.runs.watch("r"))):
            with pytest.raises(UnavailableError) as caught:
                call()
            shown = "".join(traceback.format_exception(caught.value))
            assert "RpcError" not in shown
            assert "tenacity" not in shown
            assert isinstance(caught.value.__context__, grpc.RpcError), "who looks for it finds it"


def ran(script: str, *arguments: str) -> list[str]:
    """The lines that a script prints."""
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=40, check=True)
    assert done.stderr == ""
    return done.stdout.splitlines()


FORKING = """
import os, sys, athanor
unused = athanor.connect(sys.argv[1])
def in_a_child(work):
    sys.stdout.flush()
    child = os.fork()
    if not child:
        try:
            print(work())
        except Exception as error:
            print(type(error).__name__, error)
        sys.stdout.flush()
        os._exit(0)
    os.waitpid(child, 0)
get = lambda client: client.experiments.get("hello").name
in_a_child(lambda: get(unused))
print(get(unused))
in_a_child(lambda: get(unused))
in_a_child(lambda: get(athanor.connect(sys.argv[1])))
in_a_child(lambda: next(unused.runs.watch("r")))
print(get(unused))
"""


def test_a_forked_child_says_that_grpc_does_not_work_there_instead_of_hanging(there):
    refused = (
        "RuntimeError gRPC does not work in a forked child of a process that has used it: start this one otherwise, "
        "for example with multiprocessing.get_context('spawn')"
    )
    assert ran(FORKING, there.target) == ["hello", "hello", refused, refused, refused, "hello"]


BROKEN_OFF = """
import sys, athanor
with athanor.connect(sys.argv[1]) as client:
    run = client.runs.get(sys.argv[2])
    try:
        print("begun", flush=True)
        {work}
    except KeyboardInterrupt:
        print("left;", run.refresh().state)
"""


@pytest.mark.parametrize(
    "work",
    [
        "for item in run.watch(): pass",
        "for item in run.watch_batches(): pass",
        "for entry in run.logs(follow=True): pass",
        "run.wait()",
        "run.wait(30)",
        "for item in client.runs.watch_all(): pass",
    ],
)
def test_ctrl_c_ends_the_waiting_and_not_the_run(there, work):
    kept = there.do(there.fake.add_run)
    there.do(there.fake.begin, kept)
    command = [sys.executable, "-c", BROKEN_OFF.format(work=work), there.target, kept.run.id]
    waiter = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert waiter.stdout
    assert waiter.stdout.readline() == "begun\n"
    while not there.fake.called("WatchRun") and not there.fake.called("WatchRuns"):
        time.sleep(0.01)
    time.sleep(0.1)
    begin = time.monotonic()
    waiter.send_signal(signal.SIGINT)
    out, err = waiter.communicate(timeout=20)
    assert (out, err) == ("left; RUNNING\n", "")
    assert time.monotonic() - begin < 5
    assert waiter.returncode == 0
    assert there.fake.called("CancelRun") == []


WATCHER = """
import sys, athanor
with athanor.connect(sys.argv[1]) as client:
    run = client.runs.get(sys.argv[2])
    try:
        for item in run.watch():
            print(type(item).__name__, flush=True)
    except KeyboardInterrupt:
        print("the watching has ended;", run.refresh().state)
"""


def test_ctrl_c_ends_the_watching_and_not_the_run(there):
    kept = there.do(there.fake.add_run)
    there.do(there.fake.begin, kept)
    command = [sys.executable, "-c", WATCHER, there.target, kept.run.id]
    watcher = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert watcher.stdout
    assert [watcher.stdout.readline().strip() for _ in range(3)] == ["RunUpdated", "StateChanged", "AttemptStarted"]
    watcher.send_signal(signal.SIGINT)
    out, err = watcher.communicate(timeout=20)
    assert (out.strip(), err) == ("the watching has ended; RUNNING", "")
    assert watcher.returncode == 0
    assert there.fake.called("CancelRun") == []
