"""Where the orchestrator is."""

import os

import pytest
from athanor.client import TargetError, _channel


@pytest.fixture(autouse=True)
def no_target(monkeypatch):
    monkeypatch.delenv("ATHANOR_TARGET", raising=False)


@pytest.mark.parametrize(
    ("given", "target"),
    [
        (None, "127.0.0.1:7400"),
        ("", "127.0.0.1:7400"),
        ("lab", "lab:7400"),
        ("lab.example:1", "lab.example:1"),
        (" lab:9 ", "lab:9"),
        ("[::1]:9", "[::1]:9"),
        ("[::1]", "[::1]:7400"),
        ("unix:/run/athanor", "unix:/run/athanor"),
        ("a:1,b:2", "a:1,b:2"),
        (" a , [::1]:3,unix:/x ", "a:7400,[::1]:3,unix:/x"),
        ("a,b,a:7400", "a:7400,b:7400"),
    ],
)
def test_a_target_is_host_and_port(given, target):
    assert _channel.resolve_target(given) == target


def test_the_argument_comes_before_the_environment(monkeypatch):
    monkeypatch.setenv("ATHANOR_TARGET", "env:1")
    assert _channel.resolve_target(None) == "env:1"
    assert _channel.resolve_target("arg:2") == "arg:2"


@pytest.mark.parametrize(
    "wrong", ["http://lab:1", "lab:", "lab:x", "lab:0", "lab:70000", "a:b:c", "::1", "a b:1", "a:1,", "a,,b", "a:1;b:2"]
)
def test_anything_else_is_refused(wrong):
    with pytest.raises(TargetError, match="HOST:PORT"):
        _channel.resolve_target(wrong)


def test_the_options_that_traps_were_measured_for_are_set():
    # A stopped peer is noticed within 15 s instead of 70, a slow reader holds one window, a restart is seen at once.
    options = dict(_channel._OPTIONS)
    assert options["grpc.keepalive_time_ms"] + options["grpc.http2.ping_timeout_ms"] <= 15_000
    assert options["grpc.http2.bdp_probe"] == 0
    assert options["grpc.max_receive_message_length"] >= 4 * 1024 * 1024
    assert options["grpc.max_reconnect_backoff_ms"] <= 2_000
    assert os.environ["GRPC_ENABLE_FORK_SUPPORT"] == "0"
