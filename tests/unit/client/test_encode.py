"""From what callers pass to messages."""

import json
from datetime import timedelta

import pytest
from athanor.client import (
    EventFilter,
    EventKind,
    ExperimentRecord,
    InstanceRecord,
    InvalidArgumentError,
    LogLevel,
    RunPolicy,
    RunRecord,
    RunState,
    _channel,
    _encode,
    _json,
)
from athanor.client._bound import id_of
from athanor.v1 import run_event_pb2, run_pb2, run_service_pb2
from hypothesis import given

from tests.support.jsonvalues import documents


def test_a_policy_says_only_what_was_set():
    message = _encode.policy(RunPolicy(timeout=timedelta(hours=1, milliseconds=5)))
    assert message is not None
    assert (message.timeout.seconds, message.timeout.nanos) == (3600, 5_000_000)
    assert not message.HasField("max_attempts")
    assert not message.HasField("lost_after")
    assert _encode.policy(None) is None


def test_a_filter():
    wanted = EventFilter(kinds=[EventKind.LOG, EventKind.RESULT], minimum_level=LogLevel.WARN, text="x", attempt=2)
    assert _encode.event_filter(wanted) == run_service_pb2.RunEventFilter(
        kinds=[run_service_pb2.RUN_EVENT_KIND_LOG, run_service_pb2.RUN_EVENT_KIND_RESULT],
        minimum_level=run_event_pb2.LOG_LEVEL_WARN,
        text="x",
        attempt=2,
    )
    assert _encode.event_filter(EventFilter()) == run_service_pb2.RunEventFilter()
    assert _encode.event_filter(None) is None


def test_states():
    assert _encode.run_states([RunState.PENDING, RunState.CANCELLED]) == [
        run_pb2.RUN_STATE_PENDING,
        run_pb2.RUN_STATE_CANCELLED,
    ]


@pytest.mark.parametrize(
    "value", [{"a": 2**80}, [1, "ä\x00", None, True, 0.1], "x", {"n": [10**5000, -(10**5000), 7**9000]}, {}, [[], {}]]
)
def test_json_comes_back_as_it_was(value):
    assert _json.parse(_json.encode(value, "f")) == value


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}, "\ud800", {"a": b"x"}])
def test_what_is_not_json_is_refused_here_with_the_name_of_the_field(value):
    with pytest.raises(InvalidArgumentError, match=r"instance\.configuration_json is not JSON") as caught:
        _json.encode(value, "instance.configuration_json")
    assert caught.value.violations[0].field == "instance.configuration_json"


@given(documents)
def test_json_is_written_as_python_writes_it(value):
    assert _json.encode(value, "f") == json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def test_a_tuple_a_number_of_a_set_and_what_is_there_twice_are_written():
    twice = [1]
    assert _json.encode({"a": (LogLevel.WARN, True), "b": twice, "c": twice}, "f") == (
        f'{{"a":[{int(LogLevel.WARN)},true],"b":[1],"c":[1]}}'
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [({1: 2}, "a key has to be a text, and 1 is none"), ({"a": [{None: 2}]}, "and None is none")],
)
def test_a_key_that_is_no_text_is_refused_and_not_made_one(value, text):
    with pytest.raises(InvalidArgumentError, match=f"^configuration is not JSON: .*{text}$"):
        _json.encode(value, "configuration")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (float("inf"), "Infinity is no JSON number, and beyond what a float holds (1.8e308 at most)"),
        ({"a": [-float("inf")]}, "-Infinity is no JSON number, and beyond what a float holds (1.8e308 at most)"),
        ({"a": float("nan")}, "NaN is no JSON number"),
        ("x\ud800", r"""has half of a character in it (a lone surrogate): '"x\ud800"'"""),
        ({"a": [{"\udfff": 1}]}, r"""has half of a character in it (a lone surrogate): '{"a":[{"\udfff":1}]}'"""),
    ],
)
def test_what_json_lacks_is_said_in_words(value, text):
    with pytest.raises(InvalidArgumentError) as caught:
        _json.encode(value, "configuration")
    assert str(caught.value) == f"configuration is not JSON: {text}"
    assert caught.value.violations[0].description == f"is not JSON: {text}"


def test_what_contains_itself_is_refused():
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(InvalidArgumentError, match="f is not JSON: it contains itself"):
        _json.encode(loop, "f")


@pytest.mark.parametrize("states", [RunState.RUNNING, "running", ["RUNNING"], (RunState.RUNNING,)])
def test_states_are_given_as_one_or_as_several_by_name(states):
    assert _encode.run_states(states) == [run_pb2.RUN_STATE_RUNNING]


@pytest.mark.parametrize("states", [None, (), []])
def test_no_states_are_no_filter(states):
    assert _encode.run_states(states) == []


def test_no_state_has_another_name():
    with pytest.raises(ValueError, match="there is no state 'done': it is pending, running, completed, failed or can"):
        _encode.run_states("done")


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (lambda: _encode.labels({"a": 1}), "labels are text: 'a' is 1"),
        (lambda: _encode.labels(["a"]), r"labels are names with values, {'sweep': 'lr'}, not \['a'\]"),
        (lambda: _encode.seed(-1), r"a seed is a whole number from 0 to 2\*\*64 - 1, not -1"),
        (lambda: _encode.seed(2**64), "a seed is a whole number"),
        (lambda: _encode.policy(RunPolicy(timeout=5)), r"policy.timeout is a timedelta, .*\(minutes=5\), not 5"),
        (lambda: _encode.seed(True), "a seed is a whole number, not True"),
        (lambda: _encode.seed("7"), "a seed is a whole number, not '7'"),
        (lambda: _encode.policy({"timeout": 3}), r"a policy is a RunPolicy, .*, not {'timeout': 3}"),
        (lambda: _encode.text(7, "name"), "name is a text, not 7"),
        (lambda: _encode.text("\ud800", "name"), "name has half of a character in it"),
        (lambda: _channel.resolve_target(7400), "the target is a text, for example '127.0.0.1:7400', not 7400"),
        (lambda: id_of(None, RunRecord), "a run, or its id, is asked for, not None"),
        (lambda: id_of(7, ExperimentRecord), "an experiment, or its name, is asked for, not 7"),
        (
            lambda: id_of(InstanceRecord("i", "hello", "n"), RunRecord),
            "an instance is given where a run is asked for: Inst",
        ),
    ],
)
def test_what_is_wrong_is_said_in_words(wrong, text):
    with pytest.raises((TypeError, ValueError), match=text):
        wrong()


def test_labels_and_seeds_that_are_right_pass():
    assert _encode.labels({"a": "b"}) == {"a": "b"}
    assert _encode.labels(None) == {}
    assert (_encode.seed(None), _encode.seed(0), _encode.seed(2**64 - 1)) == (None, 0, 2**64 - 1)
