"""`python -m athanor_orchestrator` as an operator meets it: one line when it serves, one line when it cannot."""

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import psycopg
import pytest
from athanor.v1 import run_service_pb2, run_service_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

COMMAND = [sys.executable, "-W", "error", "-m", "athanor_orchestrator"]
LISTENING = re.compile(r"athanor-orchestrator listening on (127\.0\.0\.1:\d+)\n")


def environment(**more: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ATHANOR_")}
    return {**kept, "ATHANOR_STOP_GRACE": "1", **more}


@contextmanager
def started(*arguments: str, **env: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that serves, and its address; killed when it has not ended by itself."""
    process = subprocess.Popen(
        [*COMMAND, "--listen", "127.0.0.1:0", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**env),
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = LISTENING.fullmatch(line)
        if found is None:
            process.kill()
            raise AssertionError(f"{line!r}\n{process.communicate()[1]}")
        yield process, found[1]
    finally:
        process.kill()
        process.communicate()


def refused(*arguments: str, **env: str) -> tuple[int, str]:
    """Run one that cannot start; its exit status and the one line that it says."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment(**env),
        timeout=30,
        check=False,
    )
    assert done.stdout == ""
    assert done.stderr.startswith("athanor-orchestrator: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.returncode, done.stderr.strip()


def test_it_serves_says_so_in_one_line_and_stops_in_order(database_url: str, tmp_path: Path) -> None:
    with started("--data", str(tmp_path), ATHANOR_DATABASE_URL=database_url) as (process, address):
        with grpc.insecure_channel(address) as channel:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
            page = run_service_pb2_grpc.RunServiceStub(channel).ListRuns(run_service_pb2.ListRunsRequest(), timeout=10)
            assert not page.runs
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=15)
        assert (process.returncode, out) == (0, "")
        assert "Traceback" not in err
        assert "Warning" not in err


def test_ctrl_c_stops_it_too(tmp_path: Path) -> None:
    with started("--data", str(tmp_path)) as (process, _):
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=15)
        assert process.returncode == 0
        assert "Traceback" not in err


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with started("--data", str(tmp_path), ATHANOR_STOP_GRACE="60") as (process, address):
        with grpc.insecure_channel(address) as channel:
            # A stream of another service that nothing ends early: the grace would be waited for.
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
            process.send_signal(signal.SIGTERM)
            assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
            time.sleep(0.2)
            assert process.poll() is None
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=10)
        assert process.returncode == 128 + signal.SIGTERM


def test_by_default_it_keeps_its_data_at_home(tmp_path: Path) -> None:
    with started(XDG_DATA_HOME=str(tmp_path)):
        assert (tmp_path / "athanor" / "athanor.db").exists()


def test_help_helps() -> None:
    done = subprocess.run(
        [*COMMAND, "--help"], capture_output=True, text=True, env=environment(), timeout=30, check=True
    )
    assert "--listen HOST:PORT" in done.stdout
    assert "ATHANOR_DATABASE_URL" in done.stdout
    assert done.stderr == ""


def test_a_taken_port(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        status, said = refused("--listen", f"127.0.0.1:{port}", "--data", str(tmp_path))
    assert status == 1
    assert f"cannot listen on 127.0.0.1:{port}: the port is taken" in said


def test_a_second_orchestrator_on_the_same_port(tmp_path: Path) -> None:
    with started("--data", str(tmp_path / "one")) as (_, address):
        status, said = refused("--listen", address, "--data", str(tmp_path / "two"))
    assert status == 1
    assert f"cannot listen on {address}" in said


def test_a_second_orchestrator_on_the_same_file(tmp_path: Path) -> None:
    with started("--data", str(tmp_path)):
        status, said = refused("--listen", "127.0.0.1:0", "--data", str(tmp_path))
    assert status == 1
    assert f"{tmp_path}/athanor.db is in use by another orchestrator" in said


def test_a_data_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    status, said = refused("--listen", "127.0.0.1:0", "--data", str(tmp_path / "file" / "data"))
    assert status == 1
    assert f"cannot use the data folder {tmp_path / 'file' / 'data'}: Not a directory" in said


def test_a_data_folder_that_cannot_be_written(tmp_path: Path) -> None:
    status, said = refused("--listen", "127.0.0.1:0", "--data", "/proc/athanor")
    assert status == 1
    assert "cannot use the data folder /proc/athanor: No such file or directory" in said


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "athanor.db").write_bytes(b"this is a letter to my aunt" * 100)
    status, said = refused("--listen", "127.0.0.1:0", "--data", str(tmp_path))
    assert status == 1
    assert "not a database" in said


def test_a_database_that_cannot_be_reached(tmp_path: Path) -> None:
    url = f"postgresql://postgres@/athanor?host={tmp_path}"
    status, said = refused("--listen", "127.0.0.1:0", "--database-url", url)
    assert status == 1
    assert str(tmp_path) in said


def test_an_address_that_is_no_database(tmp_path: Path) -> None:
    status, said = refused("--listen", "127.0.0.1:0", "--database-url", "mysql://localhost/athanor")
    assert status == 1
    assert "mysql is no kind of database that is known here: use sqlite or postgresql" in said


def test_a_database_that_a_newer_version_has_written(database_url: str) -> None:
    if database_url.startswith("sqlite"):
        with sqlite3.connect(database_url.removeprefix("sqlite:///")) as file:
            file.execute("UPDATE alembic_version SET version_num = '9999'")
        file.close()
    else:
        with psycopg.connect(database_url) as connection:
            connection.execute("UPDATE alembic_version SET version_num = '9999'")
    status, said = refused("--listen", "127.0.0.1:0", "--database-url", database_url)
    assert status == 1
    assert "a newer version of Athanor has written this database" in said


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0"])
def test_beyond_this_machine_it_listens_only_when_it_is_meant(listen: str, tmp_path: Path) -> None:
    status, said = refused("--listen", listen, "--data", str(tmp_path))
    assert status == 2
    assert "there is no authentication yet" in said
    assert "--allow-unauthenticated" in said
    assert not list(tmp_path.iterdir())


def test_what_is_no_address(tmp_path: Path) -> None:
    status, said = refused("--listen", "7400", "--data", str(tmp_path))
    assert status == 2
    assert "'7400' is not HOST:PORT" in said
