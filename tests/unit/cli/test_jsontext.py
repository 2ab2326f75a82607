"""JSON within JSON, number for number."""

import json

import pytest
from athanor.cli import jsontext
from athanor.cli.jsontext import Raw


def test_raw_text_is_kept_as_it_is():
    text = jsontext.dumps({"value": Raw('{"x": 1.10, "big": 12345678901234567890, "e": 1e400}'), "n": None})
    assert text == '{"value": {"x": 1.10, "big": 12345678901234567890, "e": 1e400}, "n": null}'


def test_a_document_is_one_line():
    assert "\n" not in jsontext.dumps([Raw('{\n "a":\r\n 1}'), "a\nb"])


@pytest.mark.parametrize("value", [None, True, 1, 1.5, "ä\n\x1b", [], {}, [1, ["x"]], {"a": {"b": [None]}}, (1, 2)])
def test_everything_else_is_ordinary_json(value):
    assert json.loads(jsontext.dumps(value)) == (list(value) if isinstance(value, tuple) else value)


def test_what_has_no_json_is_refused():
    with pytest.raises(TypeError):
        jsontext.dumps({"a": object()})


def test_numbers_have_no_limit_of_digits():
    digits = "9" * 5000
    assert jsontext.loads(f"[{digits}, -{digits}]") == [10**5000 - 1, 1 - 10**5000]
    assert jsontext.dumps({"n": [10**5000 - 1, 1 - 10**5000]}) == f'{{"n": [{digits}, -{digits}]}}'
