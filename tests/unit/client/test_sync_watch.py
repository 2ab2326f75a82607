"""The watches of the client that blocks. They are derived: what is seen here is that the derivation watches too."""

import grpc
import pytest
from athanor.client import LogEntry, LogWatch, NotFoundError, RunUpdated, RunWatch, UnavailableError, WaitTimeoutError
from athanor.client._sync.watch import BatchWatch, Ports
from athanor.v1 import run_pb2

from tests.support.watch_calls import Blocking, BlockingTime, batch_item, progress_item, rpc_error, run_item

AWAY = rpc_error(grpc.StatusCode.UNAVAILABLE, "Connection refused")
COMPLETED = run_pb2.RUN_STATE_COMPLETED


class Script:
    """The streams that are opened one after the other, and from which positions they were."""

    def __init__(self, *calls: Blocking) -> None:
        self.calls = list(calls)
        self.opened: list[int] = []

    def __call__(self, position: int) -> Blocking:
        self.opened.append(position)
        return self.calls.pop(0)


def make(script: Script, time: BlockingTime | None = None, **options) -> RunWatch:
    time = time or BlockingTime()
    ports = Ports(clock=time.clock, sleep=time.sleep)
    return RunWatch(BatchWatch(script, target=options.pop("target", "h:1"), opened=True, ports=ports, **options))


def collect(watch: RunWatch) -> list[str]:
    """What was given, in short."""
    out = []
    for item in watch:
        match item:
            case RunUpdated(run):
                out.append(run.state.value)
            case LogEntry():
                out.append(item.message)
            case _:
                out.append(type(item).__name__)
    return out


def test_a_run_is_given_from_its_first_event_to_its_end():
    call = Blocking(run_item(), batch_item(1, 2), progress_item(50), batch_item(3), run_item(COMPLETED, 3))
    assert collect(make(Script(call))) == ["RUNNING", "m1", "m2", "ProgressUpdated", "m3", "COMPLETED"]


def test_a_cut_connection_is_not_noticed():
    script = Script(
        Blocking(run_item(), batch_item(1, 2), AWAY),
        Blocking(AWAY),
        Blocking(run_item(), batch_item(3), run_item(COMPLETED, 3)),
    )
    time = BlockingTime()
    assert collect(make(script, time)) == ["RUNNING", "m1", "m2", "m3", "COMPLETED"]
    assert script.opened == [0, 2, 2]
    assert len(time.slept) == 2


def test_an_orchestrator_that_never_answered_is_given_up_after_a_while():
    time = BlockingTime()
    with pytest.raises(UnavailableError, match="connection refused"):
        collect(make(Script(*[Blocking(AWAY) for _ in range(100)]), time, connect_for=10))
    assert 5 < time.now < 20


def test_an_answer_of_the_orchestrator_is_final():
    watch = make(Script(Blocking(run_item(), rpc_error(grpc.StatusCode.NOT_FOUND, "gone"))))
    with pytest.raises(NotFoundError):
        collect(watch)
    assert next(watch, None) is None


def test_ctrl_c_ends_the_watching_and_it_can_be_gone_on_with():
    broken = Blocking(run_item(), batch_item(1), KeyboardInterrupt())
    script = Script(broken, Blocking(run_item(), batch_item(2), run_item(COMPLETED, 2)))
    watch = make(script)
    with pytest.raises(KeyboardInterrupt):
        collect(watch)
    assert broken.cancelled
    assert collect(watch) == ["m2", "COMPLETED"]
    assert script.opened == [0, 1]


def test_leaving_the_block_ends_the_stream_and_the_iteration():
    call = Blocking(run_item(), batch_item(1, 2, 3))
    with make(Script(call)) as watch:
        next(watch)
        next(watch)
    assert call.cancelled
    assert list(watch) == []


def test_a_watch_goes_on_at_another_orchestrator_at_once():
    time = BlockingTime()
    script = Script(
        Blocking(run_item(), batch_item(1), AWAY), Blocking(run_item(), batch_item(2), run_item(COMPLETED, 2))
    )
    assert collect(make(script, time, target="a:1,b:1")) == ["RUNNING", "m1", "m2", "COMPLETED"]
    assert time.slept == []


def test_the_callers_time_is_kept_while_nobody_is_there():
    time = BlockingTime()
    script = Script(Blocking(run_item(), AWAY), *[Blocking(AWAY) for _ in range(100)])
    with pytest.raises(WaitTimeoutError, match="run r has not ended within 3 s; it goes on"):
        collect(make(script, time, run_id="r", time_limit=3.0))
    assert time.now == pytest.approx(3.0)


def test_the_run_is_told_of_each_time_it_comes():
    told = []
    script = Script(Blocking(run_item(), AWAY), Blocking(run_item(), run_item(COMPLETED)))
    assert collect(make(script, on_run=told.append)) == ["RUNNING", "COMPLETED"]
    assert [run.state.value for run in told] == ["RUNNING", "RUNNING", "COMPLETED"]


def test_a_log_that_is_followed_gives_its_entries_alone():
    call = Blocking(run_item(), batch_item(1, 2), progress_item(50), batch_item(3), run_item(COMPLETED, 3))
    with LogWatch(make(Script(call))) as logs:
        assert next(logs).message == "m1"
        assert logs.position == 1
        assert [entry.message for entry in logs] == ["m2", "m3"]
        assert logs.run is not None
        assert logs.run.ended
