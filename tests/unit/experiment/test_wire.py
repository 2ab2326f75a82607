"""The bytes are those of the generated code, for every message and every value."""

from typing import Any

import pytest
from athanor.experiment import wire
from athanor.v1 import experiment_pb2, run_event_pb2, run_pb2
from google.protobuf import timestamp_pb2
from hypothesis import example, given
from hypothesis import strategies as st

int64s = st.integers(-(1 << 63), (1 << 63) - 1)
int32s = st.integers(-(1 << 31), (1 << 31) - 1)
texts = st.text(st.characters(exclude_categories=["Cs"]))
times_ns = st.integers(0, 253_402_300_799_999_999_999)


def time(time_ns: int) -> timestamp_pb2.Timestamp:
    return timestamp_pb2.Timestamp(seconds=time_ns // 10**9, nanos=time_ns % 10**9)


@given(st.one_of(int64s, int32s, st.integers(0, 1 << 22)))
@example(0)
@example(127)
@example(128)
@example((1 << 14) - 1)
@example(1 << 14)
@example((1 << 21) - 1)
@example(1 << 21)
@example(-1)
@example(-(1 << 63))
def test_integers_are_written_as_protobuf_writes_them(value: int) -> None:
    expected = run_event_pb2.RunEvent(sequence=value).SerializeToString()

    assert (b"\x08" + wire.varint(value) if value else b"") == expected
    if value:
        assert wire.read_varint(expected, 1) == (value & (1 << 64) - 1, len(expected))


@given(int64s, int32s, times_ns, st.sampled_from([0, 10, 20, 30, 40]), texts, texts, texts)
@example(1, 1, 0, 20, "", "", "")
@example(1, 1, 1_700_000_000_000_000_000, 20, "äöü \U0001f600 \0", '{"a":1}', "stdout")
def test_log(sequence: int, attempt: int, time_ns: int, level: Any, text: str, metadata: str, source: str) -> None:
    expected = run_event_pb2.RunEvent(
        sequence=sequence,
        attempt=attempt,
        time=time(time_ns),
        log=run_event_pb2.LogEntry(level=level, message=text, metadata_json=metadata, source=source),
    ).SerializeToString()

    body = wire.log_entry(level, text, metadata, source)

    assert wire.run_event(sequence, attempt, time_ns, wire.LOG, body) == expected


@given(st.integers(1, 1 << 40), times_ns, texts, texts)
def test_result_and_checkpoint(sequence: int, time_ns: int, key: str, value: str) -> None:
    result = run_event_pb2.RunEvent(
        sequence=sequence, attempt=1, time=time(time_ns), result=run_event_pb2.Result(key=key, value_json=value)
    )
    checkpoint = run_event_pb2.RunEvent(
        sequence=sequence, attempt=1, time=time(time_ns), checkpoint=run_event_pb2.CheckpointSaved(state_json=value)
    )

    assert wire.run_event(sequence, 1, time_ns, wire.RESULT, wire.result(key, value)) == result.SerializeToString()
    assert (
        wire.run_event(sequence, 1, time_ns, wire.CHECKPOINT, wire.checkpoint_saved(value))
        == checkpoint.SerializeToString()
    )


@given(texts, texts, texts, texts, texts, st.booleans(), texts, int64s)
def test_attempt_started(
    runner: str,
    digest: str,
    module: str,
    distribution: str,
    commit: str,
    dirty: bool,
    configuration: str,
    restored: int,
) -> None:
    expected = run_event_pb2.AttemptStarted(
        runner_id=runner,
        code=experiment_pb2.CodeVersion(
            digest=digest, module=module, distribution=distribution, git_commit=commit, git_dirty=dirty
        ),
        configuration_json=configuration,
        restored_sequence=restored,
    ).SerializeToString()

    code = wire.code_version(digest, module, distribution, commit, dirty)

    assert wire.attempt_started(runner, code, configuration, restored) == expected


@given(
    st.sampled_from([0, 1, 2, 3]),
    st.none() | st.tuples(st.integers(0, 11), texts, texts, st.none() | int32s),
    int64s,
    st.binary(max_size=40),
    st.lists(st.tuples(texts, times_ns), max_size=4),
)
@example(1, (2, "", "", 0), 0, b"", [])
def test_attempt_ended(
    outcome: Any,
    cause: tuple[Any, str, str, int | None] | None,
    count: int,
    digest: bytes,
    steps: list[tuple[str, int]],
) -> None:
    expected = run_event_pb2.AttemptEnded(
        outcome=outcome,
        event_count=count,
        digest=digest,
        stop_steps=[run_event_pb2.StopStep(action=action, time=time(time_ns)) for action, time_ns in steps],
    )
    if cause is not None:
        kind, text, detail, status = cause
        expected.failure.CopyFrom(run_pb2.Failure(kind=kind, message=text, detail=detail, exit_status=status))

    written = wire.attempt_ended(
        outcome,
        None if cause is None else wire.failure(*cause),
        count,
        digest,
        [wire.stop_step(*step) for step in steps],
    )

    assert written == expected.SerializeToString()


@given(st.integers(1, 1 << 40), st.sampled_from([wire.LOG, wire.RESULT, wire.CHECKPOINT, wire.ATTEMPT_STARTED]))
def test_sequence_and_kind_are_read_back(sequence: int, kind: int) -> None:
    event = wire.run_event(sequence, 3, 1_700_000_000_123_456_789, kind, wire.result("k", "1"))

    assert wire.read_sequence_kind(event) == (sequence, kind)
    assert event.startswith(wire.sequence_field(sequence))
    assert not event.startswith(wire.sequence_field(sequence + 1))


@pytest.mark.parametrize("data", [b"\x08", b"\x12\x05abc", b"\x0d\x01", b"\x08" + b"\xff" * 11])
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(wire.WireError):
        wire.read_fields(data)
