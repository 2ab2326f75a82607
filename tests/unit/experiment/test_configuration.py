"""From the configuration as JSON to the author's model and back."""

import enum
import itertools
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
from athanor.experiment import configuration
from athanor.experiment.configuration import ConfigurationError
from pydantic import BaseModel, ConfigDict, Field, field_validator

counter = itertools.count(1)


class Mode(enum.Enum):
    FAST = "fast"
    THOROUGH = "thorough"


class Pair(BaseModel):
    a: str = "x"
    b: str


class Config(BaseModel):
    iterations: int = Field(10, ge=1, title="Iterations")
    mode: Mode = Mode.FAST
    kind: Literal["one", "two"] = "one"
    pairs: list[Pair] = [Pair(b="y")]
    limit: float | None = None
    wait: timedelta = timedelta(seconds=90)
    folder: Path = Path("/data")
    drawn: int = Field(default_factory=lambda: next(counter))
    needed: str
    renamed: int = Field(5, alias="with-alias")


def test_the_schema_is_that_of_what_is_handed_in() -> None:
    schema = configuration.schema(Config)

    assert schema["required"] == ["needed"]
    assert schema["properties"]["iterations"] == {"default": 10, "minimum": 1, "title": "Iterations", "type": "integer"}
    assert "with-alias" in schema["properties"]
    assert configuration.schema(None) == {"type": "object"}


def test_defaults_are_what_the_authors_code_makes_of_nothing() -> None:
    defaults = configuration.defaults(Config)

    assert isinstance(defaults.pop("drawn"), int)
    assert defaults == {
        "iterations": 10,
        "mode": "fast",
        "kind": "one",
        "pairs": [{"a": "x", "b": "y"}],
        "limit": None,
        "wait": "PT1M30S",
        "folder": "/data",
        "with-alias": 5,
    }
    assert configuration.defaults(None) == {}


def test_a_configuration_is_validated_and_every_default_filled_in() -> None:
    fitted = configuration.read(Config, '{"needed": "ü", "mode": "thorough", "pairs": [{"b": "z"}], "with-alias": 6}')

    assert isinstance(fitted.config, Config)
    assert (fitted.config.mode, fitted.config.pairs[0].b, fitted.config.renamed) == (Mode.THOROUGH, "z", 6)
    assert fitted.plain["drawn"] == fitted.config.drawn
    assert fitted.plain["pairs"] == [{"a": "x", "b": "z"}]
    assert '"needed":"ü"' in fitted.text
    assert configuration.read(Config, fitted.text) == fitted  # and it is a configuration, too


def test_every_violation_is_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as refused:
        configuration.read(Config, '{"iterations": 0, "pairs": [{"b": 1}], "mode": "slow"}')

    text = str(refused.value)
    assert "iterations: Input should be greater than or equal to 1" in text
    assert "pairs/0/b: Input should be a valid string" in text
    assert "mode: Input should be 'fast' or 'thorough'" in text
    assert "needed: Field required" in text
    assert "\n" not in text
    assert "4 validation errors" in refused.value.detail


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    n: int = 1
    pair: tuple[int, int] = (1, 2)


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")


class Odd(BaseModel):
    n: int = 1
    anything: Any = None

    @field_validator("n")
    @classmethod
    def odd(cls, value: int) -> int:
        if value == 7:
            raise RuntimeError("not seven")
        return value


def test_unknown_keys_are_the_models_business_once_a_configuration_is_here() -> None:
    assert configuration.read(Config, '{"needed": "x", "more": 1}').plain.get("more") is None
    assert configuration.read(Open, '{"more": 1}').plain == {"more": 1}
    with pytest.raises(ConfigurationError, match="more: Extra inputs are not permitted"):
        configuration.read(Strict, '{"more": 1}')
    assert configuration.read(Strict, '{"pair": [3, 4]}').config.pair == (3, 4)  # JSON has no tuples


@pytest.mark.parametrize(
    ("model", "text", "fault"),
    [
        (Config, "nonsense", "the configuration: Invalid JSON"),
        (Config, "[]", "the configuration: Input should be an object"),
        (None, "nonsense", "the configuration is not JSON"),
        (None, "[]", "the configuration is not an object"),
        (Odd, '{"n": 7}', "RuntimeError: not seven"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(model: Any, text: str, fault: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        configuration.read(model, text)

    assert str(refused.value).startswith(fault)


def test_a_configuration_that_is_not_json_is_told() -> None:
    with pytest.raises(ConfigurationError, match="the configuration cannot be written as JSON"):
        configuration.from_model(Odd(anything=object()))


def test_without_a_model_it_is_a_dict() -> None:
    fitted = configuration.read(None, '{"a": [1, 2]}')

    assert (fitted.config, fitted.plain, fitted.text) == ({"a": [1, 2]}, {"a": [1, 2]}, '{"a": [1, 2]}')
