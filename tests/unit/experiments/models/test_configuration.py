"""Where a key may be put by mistake, it is refused, and not repeated."""

from typing import Any

import pytest
from athanor_experiments.models.configuration import Api
from pydantic import ValidationError

KEY = "sk-proj-0123456789abcdef"


@pytest.mark.parametrize(
    "wrong",
    [
        {"base_url": f"https://user:{KEY}@example.org/v1"},
        {"base_url": f"https://example.org/v1?key={KEY}"},
        {"base_url": f"https://example.org/v1#{KEY}"},
        {"base_url": f"http://example.org:{KEY}"},
        {"base_url": "http://example.org:99999/v1"},
        {"base_url": "http://example.org:0"},
        {"base_url": "http://[1:2/v1"},
        {"base_url": "http://[12:34:zz]/v1"},
        {"base_url": "http://[1:2]/v1"},
        {"base_url": f"ftp://example.org/{KEY}"},
        {"api_key_env": KEY},
        {"api_key": KEY},
        {"timeout_s": 0},
        {"max_tries": 0},
        {"requests_per_minute": 0},
        {"tokens_per_minute": 99},
        {"temperature": 2.1},
        {"max_tokens_field": "tokens"},
    ],
)
def test_it_is_refused_without_being_shown(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        Api.model_validate(wrong)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "base_url",
    ["http://127.0.0.1:8000", "http://localhost:11434/v1", "https://example.org/v1/", "http://[::1]:8000/v1"],
)
def test_an_address_is_taken(base_url: str) -> None:
    assert Api(base_url=base_url, api_key_env="").base_url == base_url
