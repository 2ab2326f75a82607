"""What a schema says is `writeOnly` is not repeated, however it is refused and wherever in the schema that is said."""

import json
from typing import Any

import pytest
from athanor_orchestrator.domain.records import Experiment
from athanor_orchestrator.engine.configuration import check
from pydantic import BaseModel, Field, SecretStr

KEY = "sk-proj-0123456789abcdef"
HIDDEN: dict[str, Any] = {"writeOnly": True}


def told(schema: dict[str, Any], value: object) -> list[tuple[str, str]]:
    experiment = Experiment("tested", configuration_schema_json=json.dumps(schema))
    checked = check(json.dumps(value), experiment)
    assert checked.configuration_json == ""
    assert checked.readable
    return [(violation.field, violation.description) for violation in checked.violations]


@pytest.mark.parametrize(
    ("part", "description"),
    [
        ({"pattern": "^[A-Z_]*$"}, "must match '^[A-Z_]*$'; its value is not repeated"),
        ({"enum": ["ONE", "TWO"]}, 'must be one of "ONE", "TWO"; its value is not repeated'),
        ({"const": "ONE"}, 'must be "ONE"; its value is not repeated'),
        ({"minLength": 100}, "must have at least 100 characters; its value is not repeated"),
        ({"maxLength": 3}, "must have at most 3 characters; has 24"),
        ({"type": "integer"}, "must be integer; is string"),
        ({"not": {"type": "string"}}, "does not satisfy 'not'"),
        (
            {"anyOf": [{"pattern": "^A"}, {"pattern": "^B"}]},
            "fits none of the 2 alternatives; its value is not repeated",
        ),
        ({"oneOf": [{}, {"minLength": 1}]}, "fits more than one of the alternatives; its value is not repeated"),
    ],
    ids=lambda part: next(iter(part)) if isinstance(part, dict) else None,
)
def test_no_description_has_the_value(part: dict[str, Any], description: str) -> None:
    assert told({"properties": {"key": part | HIDDEN}}, {"key": KEY}) == [("/key", description)]
    # Without the word it is shown, so that the above can fail.
    shown = told({"properties": {"key": part}}, {"key": KEY})
    assert (KEY in shown[0][1]) == ("repeated" in description or "not'" in description)


def test_a_number_is_not_repeated_either() -> None:
    schema = {"properties": {"pin": {"minimum": 10_000_000} | HIDDEN}}
    assert told(schema, {"pin": 4711}) == [("/pin", "must be at least 10000000; its value is not repeated")]


FAULTY: dict[str, Any] = {"type": "string", "pattern": "^X"}


@pytest.mark.parametrize(
    ("schema", "value", "where"),
    [
        ({"properties": {"a": {"properties": {"b": FAULTY}} | HIDDEN}}, {"a": {"b": KEY}}, "/a/b"),
        ({"properties": {"a": {"items": FAULTY | HIDDEN}}}, {"a": ["X", KEY]}, "/a/1"),
        ({"properties": {"a": {"prefixItems": [{}, FAULTY | HIDDEN]}}}, {"a": ["X", KEY]}, "/a/1"),
        ({"additionalProperties": FAULTY | HIDDEN}, {"a": KEY}, "/a"),
        ({"patternProperties": {"^a": FAULTY | HIDDEN}}, {"a": KEY}, "/a"),
        ({"properties": {"a": FAULTY}, "patternProperties": {"^a": HIDDEN}}, {"a": KEY}, "/a"),
        ({"allOf": [{"properties": {"a": FAULTY}}, {"properties": {"a": HIDDEN}}]}, {"a": KEY}, "/a"),
        ({"properties": {"a": FAULTY | {"$ref": "#/$defs/k"}}, "$defs": {"k": HIDDEN}}, {"a": KEY}, "/a"),
        ({"properties": {"a": {"$ref": "#/$defs/k"} | HIDDEN}, "$defs": {"k": FAULTY}}, {"a": KEY}, "/a"),
        ({"properties": {"a": {"anyOf": [FAULTY | HIDDEN, {"type": "null"}]}}}, {"a": KEY}, "/a"),
        ({"if": {}, "then": {"properties": {"a": FAULTY | HIDDEN}}}, {"a": KEY}, "/a"),
        ({"dependentSchemas": {"a": {"properties": {"a": FAULTY | HIDDEN}}}}, {"a": KEY}, "/a"),
        (HIDDEN | {"properties": {"a": FAULTY}}, {"a": KEY}, "/a"),
    ],
    ids=lambda part: json.dumps(part)[:60],
)
def test_it_is_found_wherever_a_schema_may_say_it(schema: dict[str, Any], value: object, where: str) -> None:
    assert told(schema, value) == [(where, "must match '^X'; its value is not repeated")]


def test_a_discriminator_is_not_repeated_when_it_is_hidden() -> None:
    kinds = {"cat": "#/$defs/cat", "dog": "#/$defs/dog"}
    schema = {
        "properties": {
            "pet": {
                "discriminator": {"propertyName": "kind", "mapping": kinds},
                "oneOf": [{"$ref": reference} for reference in kinds.values()],
            }
        },
        "$defs": {kind: {"properties": {"kind": {"const": kind} | HIDDEN}} for kind in kinds},
    }
    expected = [("/pet/kind", "its value is not repeated; must be one of cat, dog")]
    assert told(schema, {"pet": {"kind": KEY}}) == expected


@pytest.mark.parametrize(
    ("part", "fault"),
    [
        ({"uniqueItems": True}, ("/a", "does not satisfy 'uniqueItems'")),
        ({"contains": {"const": 1}}, ("/a", "does not satisfy 'contains'")),
        (False, ("", "is not allowed")),
    ],
)
def test_a_fault_of_what_it_is_within_does_not_have_it_among_the_rest(part: Any, fault: tuple[str, str]) -> None:
    schema = {"properties": {"a": part, "b": {"items": HIDDEN}}, "$ref": "#/$defs/more"}
    more = {"properties": {"a": {"items": HIDDEN}}}
    assert told(schema | {"$defs": {"more": more}}, {"a": [KEY, KEY]}) == [fault]


@pytest.mark.parametrize(
    ("schema", "value", "where"),
    [
        (
            {
                "$ref": "#/$defs/tree",
                "$defs": {
                    "tree": {"properties": {"a": {"$dynamicRef": "#node"}}},
                    "node": {"$dynamicAnchor": "node", **FAULTY, **HIDDEN},
                },
            },
            {"a": KEY},
            "/a",
        ),
        (
            {
                "properties": {
                    "part": {
                        "$id": "https://example.org/part",
                        "properties": {"a": {"$ref": "#/$defs/k"}},
                        "$defs": {"k": FAULTY | HIDDEN},
                    }
                },
                "$defs": {"k": FAULTY},
            },
            {"part": {"a": KEY}},
            "/part/a",
        ),
        ({"propertyNames": FAULTY | HIDDEN}, {KEY: 1}, ""),
    ],
    ids=["$dynamicRef", "$id", "propertyNames"],
)
def test_nothing_is_shown_where_what_applies_is_not_followed(schema: dict[str, Any], value: object, where: str) -> None:
    assert told(schema, value) == [(where, "must match '^X'; its value is not repeated")]
    # For want of the word there is nothing to hide.
    ((_, description),) = told(json.loads(json.dumps(schema).replace('"writeOnly": true', '"title": "k"')), value)
    assert KEY in description


def test_the_id_of_the_whole_document_is_in_nobodys_way() -> None:
    schema = {"$id": "https://example.org/all", "properties": {"key": FAULTY | HIDDEN, "other": {"$ref": "#/$defs/o"}}}
    assert told(schema | {"$defs": {"o": FAULTY}}, {"key": KEY, "other": "Y"}) == [
        ("/key", "must match '^X'; its value is not repeated"),
        ("/other", "must match '^X'; is \"Y\""),
    ]


@pytest.mark.parametrize("word", ["$dynamicRef", "$id", "propertyNames"])
def test_a_field_of_such_a_name_is_no_keyword(word: str) -> None:
    schema = {"properties": {word: FAULTY, "key": HIDDEN}}
    assert told(schema, {word: "Y"}) == [(f"/{word}", "must match '^X'; is \"Y\"")]


UNIQUE: dict[str, Any] = {"properties": {"a": {"uniqueItems": True}}}


@pytest.mark.parametrize(
    "data",
    [{"default": HIDDEN}, {"examples": [HIDDEN]}, {"enum": [HIDDEN]}, {"const": HIDDEN}],
    ids=lambda data: next(iter(data)),
)
def test_the_word_in_data_says_nothing(data: dict[str, Any]) -> None:
    schema = {"properties": {"a": {"uniqueItems": True}, "b": data}}
    assert told(schema, {"a": [1, 1]}) == told(UNIQUE, {"a": [1, 1]}) == [("/a", "[1, 1] has non-unique elements")]


@pytest.mark.parametrize("name", ["default", "examples", "enum", "const", "properties"])
def test_a_field_may_have_the_name_of_what_holds_data(name: str) -> None:
    schema = {"properties": {name: FAULTY | HIDDEN}}
    assert told(schema, {name: KEY}) == [(f"/{name}", "must match '^X'; its value is not repeated")]


def test_a_default_may_be_as_deep_as_it_likes() -> None:
    deep: object = 1
    for _ in range(600):
        deep = [deep]
    schema = {"properties": {"b": {"default": deep}, "a": FAULTY | HIDDEN}}
    assert told(schema, {"a": KEY}) == [("/a", "must match '^X'; its value is not repeated")]


def test_the_word_below_one_that_is_not_json_schemas_own_counts() -> None:
    # "default" is a name there.
    schema = {"x-parts": {"default": FAULTY | HIDDEN}, "properties": {"a": {"$ref": "#/x-parts/default"}}}
    assert told(schema, {"a": KEY}) == [("/a", "must match '^X'; its value is not repeated")]


def test_what_is_beside_it_is_shown() -> None:
    schema = {"properties": {"key": FAULTY | HIDDEN, "other": FAULTY, "list": {"items": FAULTY}}}
    assert told(schema, {"other": "Y", "list": ["Z"]}) == [
        ("/other", "must match '^X'; is \"Y\""),
        ("/list/0", "must match '^X'; is \"Z\""),
    ]


def test_a_reference_that_leads_nowhere_in_a_part_that_does_not_apply_is_no_fault() -> None:
    schema = {"if": {"required": ["b"]}, "then": {"$ref": "#/$defs/no"}, "properties": {"a": FAULTY | HIDDEN}}
    assert told(schema, {"a": KEY}) == [("/a", "must match '^X'; its value is not repeated")]


def test_a_schema_of_nothing_but_circles_ends() -> None:
    schema = {"$defs": {"n": {"properties": {"k": FAULTY | HIDDEN, "n": {"$ref": "#/$defs/n"}}}}, "$ref": "#/$defs/n"}
    value: dict[str, Any] = {"k": KEY}
    for _ in range(50):
        value = {"n": value}
    assert told(schema, value) == [("/n" * 50 + "/k", "must match '^X'; its value is not repeated")]


def test_a_secret_of_pydantic_is_one() -> None:
    class Config(BaseModel):
        token: SecretStr | None = Field(SecretStr("hunter2"), min_length=40)

    schema = Config.model_json_schema()
    ((_, description),) = told(schema, {"token": KEY})
    assert KEY not in description


def test_a_default_that_can_be_read_is_filled_in_although_it_is_hidden_in_a_refusal() -> None:
    class Config(BaseModel):
        variable: str = Field("API_KEY", json_schema_extra=HIDDEN)
        secret: SecretStr = SecretStr("hunter2")
        spare: SecretStr | None = SecretStr("hunter2")

    experiment = Experiment("tested", configuration_schema_json=json.dumps(Config.model_json_schema()))
    # Asterisks in the place of a secret are no default: the author's code fills it in.
    assert json.loads(check("{}", experiment).configuration_json) == {"variable": "API_KEY"}
