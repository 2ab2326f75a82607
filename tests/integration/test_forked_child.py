"""A child that the experiment forks: it may compute and print, and may not record."""

import logging
import os
import signal
import threading
from contextlib import closing
from pathlib import Path

import pytest
from athanor.experiment import ForkedChildError
from athanor.experiment.recorder import Recorder
from athanor.experiment.running import recorded_output
from athanor.experiment.spool import SpoolReader, SpoolWriter
from athanor.v1 import run_event_pb2

from tests.support.recording import Memory, context_over


def test_a_forked_child_refuses_with_an_explanation_and_the_parent_goes_on(tmp_path: Path) -> None:
    """While another thread holds the lock: in the child nobody would ever release it."""
    with closing(SpoolWriter.open(tmp_path, 2)) as writer:
        recorder = Recorder(writer, 1)
        ctx = context_over(recorder)
        ctx.info("before")
        held, release = threading.Event(), threading.Event()

        def hold() -> None:
            with recorder._lock:
                held.set()
                release.wait(10)

        thread = threading.Thread(target=hold)
        thread.start()
        held.wait(10)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            signal.alarm(10)  # without the guard it would wait for ever
            try:
                ctx.info("from the child")
                said = b"recorded"
            except ForkedChildError as error:
                said = str(error).encode()
            os.write(writing, said)
            os._exit(0)
        release.set()
        thread.join()
        os.close(writing)
        said = os.read(reading, 10_000).decode()
        os.close(reading)
        os.waitpid(child, 0)
        ctx.info("after")

    assert said.startswith(f"process {child} is a forked child of the run's process, and two processes cannot number")
    with closing(SpoolReader(tmp_path)) as reader:
        events = [run_event_pb2.RunEvent.FromString(data) for data in reader.read(1 << 30)]
    assert [(event.sequence, event.log.message) for event in events] == [(2, "before"), (3, "after")]


def test_a_forked_child_that_lives_on_does_not_hold_the_spool(tmp_path: Path) -> None:
    writer = SpoolWriter.open(tmp_path, 2)
    recorder = Recorder(writer, 1)
    (ready, say_ready), (go_on, hold_up) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.close(hold_up)
        os.write(say_ready, b"x")
        os.read(go_on, 1)
        os._exit(0)
    try:
        os.read(ready, 1)
        assert not recorder.refusing
        writer.close()

        SpoolWriter.resume(tmp_path, 2).close()
    finally:
        for descriptor in (hold_up, go_on, ready, say_ready):
            os.close(descriptor)
        os.waitpid(child, 0)


def test_a_forked_child_prints_to_the_descriptors(capfd: pytest.CaptureFixture[str]) -> None:
    spool = Memory()
    recorder = Recorder(spool, 1)
    with recorded_output(recorder, "info"):
        print("unfinished in the parent", end="")
        child = os.fork()
        if child == 0:
            print("from the child")
            logging.getLogger("x").warning("logged by the child")
            os._exit(0)
        os.waitpid(child, 0)
        print()

    out, err = capfd.readouterr()
    assert out == "from the child\n"
    assert err == "WARNING:x:logged by the child\n"
    assert [(source, message) for _, message, _, source in spool.logs] == [("stdout", "unfinished in the parent")]
