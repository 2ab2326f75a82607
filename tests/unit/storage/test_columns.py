"""Text on its way into a column."""

from datetime import timedelta

import pytest
from athanor_orchestrator.storage.columns import clean, from_us, labels_json, labels_of, storable, to_us


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("", ""),
        ("plain", "plain"),
        ("Größe 😀", "Größe 😀"),
        ("a\x00b", "a\u2400b"),
        ("é\x00", "é\u2400"),
        ("\ud800", "\ufffd"),
        ("a\udfff😀b", "a\ufffd😀b"),
    ],
)
def test_text_for_people_is_repaired_visibly(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned
    clean(text).encode()


@pytest.mark.parametrize(
    ("text", "kept"),
    [(None, None), ("", ""), ("ok", "ok"), ("Größe 😀", "Größe 😀"), ("\x00", None), ("é\ud800", None)],
)
def test_text_that_is_compared_is_kept_whole_or_not_at_all(text: str | None, kept: str | None) -> None:
    assert storable(text) == kept


@pytest.mark.parametrize("duration", [None, timedelta(), timedelta(microseconds=1), timedelta(days=3650)])
def test_durations_come_back(duration: timedelta | None) -> None:
    assert from_us(to_us(duration)) == duration


@pytest.mark.parametrize("labels", [{}, {"b": "2", "a": "1"}, {"ü": '"'}])
def test_labels_come_back(labels: dict[str, str]) -> None:
    assert labels_of(labels_json(labels)) == labels
