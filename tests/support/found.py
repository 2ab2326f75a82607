"""Runs and what they have found, as the client gives them."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from athanor.client import Result, RunRecord, RunState

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def result(key: str, value: Any, sequence: int = 1, *, superseded: bool = False) -> Result:
    """A result; its value in JSON as Python writes it."""
    return result_text(key, json.dumps(value), sequence, superseded=superseded)


def result_text(key: str, value_json: str, sequence: int = 1, *, superseded: bool = False) -> Result:
    """A result; its value as this very text."""
    return Result(sequence, 1, AT + timedelta(seconds=sequence), key, value_json, superseded)


def run(id: str, configuration: Any = None, *, instance: str = "i-1", **fields: Any) -> RunRecord:
    """A run that has completed after a minute, unless `fields` say otherwise."""
    standing: dict[str, Any] = {
        "experiment": "digits",
        "state": RunState.COMPLETED,
        "configuration_json": json.dumps(configuration or {}),
        "seed": 7,
        "start_time": AT,
        "end_time": AT + timedelta(seconds=61),
    }
    return RunRecord(id, instance, **(standing | fields))
