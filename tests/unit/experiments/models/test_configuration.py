"""Where a key may be put by mistake, it is refused, and not repeated."""

import json
from typing import Any

import pytest
from athanor.experiment import configuration
from athanor.experiment.configuration import ConfigurationError
from athanor_experiments.judge import configuration as judge
from athanor_experiments.models.configuration import Api
from athanor_experiments.substrate_shift import configuration as shift
from pydantic import BaseModel, ValidationError

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
        {"api_key_env": "gsk_AAAABBBBCCCCDDDD12345678"},
        {"api_key_env": "A" * 101},
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
    assert not any(str(value) in str(caught.value) for value in wrong.values() if len(str(value)) > 10)


@pytest.mark.parametrize("model", [shift.Config, judge.Config])
@pytest.mark.parametrize("wrong", [{"api_key_env": KEY}, {"base_url": f"https://{KEY}@a.org"}, {"api_key": KEY}, KEY])
def test_nor_is_it_shown_by_the_configurations_that_it_is_a_part_of(model: type[BaseModel], wrong: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        model.model_validate({"api": wrong})
    assert KEY not in str(caught.value)
    with pytest.raises(ConfigurationError) as refused:
        configuration.read(model, json.dumps({"api": wrong}))
    assert KEY not in str(refused.value) + refused.value.detail


@pytest.mark.parametrize("field", ["base_url", "api_key_env"])
def test_whoever_checks_by_the_schema_is_told_not_to_repeat_it(field: str) -> None:
    assert Api.model_json_schema()["properties"][field]["writeOnly"] is True


@pytest.mark.parametrize(
    "base_url",
    ["http://127.0.0.1:8000", "http://localhost:11434/v1", "https://example.org/v1/", "http://[::1]:8000/v1"],
)
def test_an_address_is_taken(base_url: str) -> None:
    assert Api(base_url=base_url, api_key_env="").base_url == base_url
