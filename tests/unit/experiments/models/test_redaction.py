"""A key is taken out of a text in whatever way it is written there."""

import base64
import html
import json
from urllib.parse import quote, quote_plus

import pytest
from athanor_experiments.models.redaction import HIDDEN, Redaction
from pydantic import SecretStr

KEY = "sk-test/9d8f+7a6b=5c4e~3d2f"
redacted = Redaction(SecretStr(KEY))


def base64_of(before: str, behind: str = "") -> str:
    return base64.b64encode(f"{before}{KEY}{behind}".encode()).decode()


@pytest.mark.parametrize(
    "written",
    [
        KEY,
        quote(KEY, safe=""),
        quote(KEY, safe="").lower(),
        quote_plus(KEY),
        quote(quote(KEY, safe=""), safe=""),
        "".join(f"%{ord(one):02X}" for one in KEY),
        KEY.replace("/", r"\/"),
        json.dumps(json.dumps(KEY.replace("/", r"\/"))),
        "".join(f"\\u{ord(one):04x}" for one in KEY),
        KEY.replace("/", r"\u002F"),
        KEY.replace("/", r"\x2f"),
        html.escape(KEY).replace("+", "&#43;").replace("/", "&#x2F;"),
    ],
)
def test_escaped_in_whatever_way_it_is_taken_out(written: str) -> None:
    assert redacted(f"Bearer {written}.").replace('"', "").replace("\\", "") == f"Bearer {HIDDEN}."


@pytest.mark.parametrize("before", ["", "u", "u:", "user:", "Bearer "])
@pytest.mark.parametrize("behind", ["", "\n", "==", "and more"])
def test_as_base64_nothing_is_left_that_tells_more_than_a_character_of_it(before: str, behind: str) -> None:
    for encoded in (base64_of(before, behind), base64_of(before, behind).replace("+", "-").replace("/", "_")):
        left = redacted(encoded)
        assert HIDDEN in left
        assert len(left) - len(HIDDEN) <= len(encoded) - len(base64_of("")) + 6


@pytest.mark.parametrize("key", [None, SecretStr("EMPTY"), SecretStr("x" * 11)])
def test_without_a_key_and_with_a_placeholder_nothing_is_taken_out(key: SecretStr | None) -> None:
    assert Redaction(key)("The EMPTY set has xxxxxxxxxxx, too.") == "The EMPTY set has xxxxxxxxxxx, too."


@pytest.mark.timeout(10)
@pytest.mark.parametrize("part", ["\\", "%", "%25", "&#0", "s", "s\\", KEY[:-1]])
def test_no_text_takes_longer_than_its_length(part: str) -> None:
    text = part * (500_000 // len(part))
    assert redacted(text) == text


def test_a_part_of_it_and_something_like_it_stay() -> None:
    text = f"{KEY[:-1]} {KEY[1:]} {KEY.upper()}"
    assert redacted(text) == text


def test_it_does_not_show_the_key_itself() -> None:
    assert KEY[:7] not in repr(redacted)
