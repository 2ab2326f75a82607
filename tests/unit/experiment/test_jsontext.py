"""What is JSON is written exactly; what is not is refused with the path of the value."""

import dataclasses
import enum
import http
import json
import math
from collections import OrderedDict
from typing import Any

import pytest
from athanor.experiment import jsontext
from athanor.experiment.errors import InvalidValueError
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=20
)


@given(documents)
@example({"a": {"b": [1, {"c": "{[\\u0000"}]}})
@example("\\u0000")
def test_json_comes_back_as_it_was(value: Any) -> None:
    assert json.loads(jsontext.encode(value, "value")) == value


@given(st.dictionaries(texts, scalars, max_size=5))
@example({"%s": "100 %", "{x}": "{y}", '"': "\\\\", "ü": "\x1f"})
@example({"large": 10**400, "small": 5e-324, "negative": -0.0, "true": True})
def test_the_short_way_for_flat_metadata_writes_what_the_encoder_writes(value: dict[str, Any]) -> None:
    plain = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))

    assert jsontext.encode(value, "value") == plain.encode()


def test_keys_that_never_come_again_are_forgotten() -> None:
    for number in range(5000):
        key = f"key {number}"
        assert jsontext.encode({key: number}, "value") == f'{{"{key}":{number}}}'.encode()

    assert len(jsontext._keys) <= 1000  # pyright: ignore[reportPrivateUsage]


def test_numbers_are_exact_and_the_text_is_compact() -> None:
    value = {"n": 12345678901234567890123, "f": 0.1, "t": (1, "ü"), "none": None}

    assert jsontext.encode(value, "value") == '{"n":12345678901234567890123,"f":0.1,"t":[1,"ü"],"none":null}'.encode()


def test_subclasses_of_what_json_has_are_taken() -> None:
    class Color(enum.StrEnum):
        RED = "red"

    assert jsontext.encode(OrderedDict({Color.RED: Color.RED}), "value") == b'{"red":"red"}'
    assert jsontext.encode({Color.RED: Color.RED, "n": http.HTTPStatus.OK}, "value") == b'{"red":"red","n":200}'


@dataclasses.dataclass
class Point:
    x: int


class Model(BaseModel):
    x: int = 1


def nested(depth: int, inner: Any = 0) -> Any:
    for _ in range(depth):
        inner = [inner]
    return inner


def circle() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (math.nan, "value is NaN"),
        ({"trials": [1, 2, 3, {"score": math.nan}]}, "value/trials/3/score is NaN"),
        ([math.inf], "value/0 is Infinity"),
        ({"a": -math.inf}, "value/a is -Infinity"),
        ({1: 2}, "value has the key 1 of type int; keys are text"),
        ({"a": [{None: 2}]}, "value/a/0 has the key None of type NoneType; keys are text"),
        ([{"a": 1}, {True: 1}], "value/1 has the key True of type bool; keys are text"),
        ({"a": "x\0"}, "value/a contains NUL at character 1"),
        ({"a": {"b": "x\\\0"}}, "value/a/b contains NUL at character 2"),
        ({"x\0": 1}, "value has a key that contains NUL at character 1: 'x\\x00'"),
        (["ok", "\ud800"], "value/1 contains a lone surrogate at character 0"),
        ({"a/b~c": math.nan}, "value/a~1b~0c is NaN"),
        ({"a": {1, 2}}, "value/a is of type set, which is not JSON; use a list"),
        ({"a": b"x"}, "value/a is of type bytes, which is not JSON"),
        ({"a": 1j}, "value/a is of type complex, which is not JSON"),
        ([10**5000], "value/0 is an integer of too many digits"),
        (circle(), "value" + "/0" * 64 + " is nested more than 64 deep"),
        (nested(65), "value" + "/0" * 64 + " is nested more than 64 deep"),
        (nested(100_000), "value" + "/0" * 64 + " is nested more than 64 deep"),
    ],
)
def test_what_is_not_json_is_refused_with_its_path(value: Any, text: str) -> None:
    with pytest.raises(InvalidValueError) as refused:
        jsontext.encode(value, "value")

    assert str(refused.value) == text


@pytest.mark.parametrize(
    ("value", "advice"),
    [(Point(1), "use dataclasses.asdict()"), (Model(), "use its model_dump(mode='json')")],
)
def test_a_refusal_says_what_to_do(value: Any, advice: str) -> None:
    with pytest.raises(InvalidValueError, match=r"value/point is of type .*, which is not JSON; ") as refused:
        jsontext.encode({"point": value}, "value")

    assert str(refused.value).endswith(advice)


def test_arrays_are_told_to_use_tolist() -> None:
    import numpy

    with pytest.raises(InvalidValueError, match=r"value/a is of type numpy.ndarray, which is not JSON; use its tolist"):
        jsontext.encode({"a": numpy.zeros(2)}, "value")
    with pytest.raises(InvalidValueError, match=r"value is of type numpy.int64, which is not JSON; use its tolist"):
        jsontext.encode(numpy.int64(1), "value")
    assert jsontext.encode(numpy.float64(0.5), "value") == b"0.5"  # it is a float


def test_sixty_four_deep_is_fine() -> None:
    assert jsontext.encode(nested(64), "value") == b"[" * 64 + b"0" + b"]" * 64


def test_many_lists_side_by_side_are_not_deep() -> None:
    assert json.loads(jsontext.encode([[1]] * 1000, "value")) == [[1]] * 1000
