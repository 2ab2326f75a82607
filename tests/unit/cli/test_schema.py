"""A JSON Schema as a list of settings."""

from typing import Literal

from athanor.cli import schema
from pydantic import BaseModel, Field


class Pair(BaseModel):
    model_a: str = "x"


class Config(BaseModel):
    n: int = Field(ge=1, le=100, title="How many", description="As it says.")
    mode: Literal["fast", "thorough"] = "fast"
    pairs: list[Pair] = [Pair()]
    inner: Pair = Pair()
    maybe: float | None = None


def test_settings_of_a_pydantic_model():
    found = {one.path: one for one in schema.settings(Config.model_json_schema())}
    assert list(found) == ["n", "mode", "pairs", "pairs[].model_a", "inner", "inner.model_a", "maybe"]
    assert found["n"] == schema.Setting("n", "integer", "", "How many; As it says; at least 1; at most 100", True)
    assert found["mode"].type == '"fast" | "thorough"'
    assert found["mode"].default == '"fast"'
    assert found["pairs"].type == "list of object"
    assert found["pairs[].model_a"].default == '"x"'
    assert found["maybe"].type == "number | null"
    assert found["maybe"].default == "null"


def test_a_schema_that_contains_itself_ends():
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}
    found = schema.settings({"$defs": {"node": node}, **node})
    assert 1 < len(found) < 20


def test_strange_schemas_do_no_harm():
    assert schema.settings({}) == []
    odd = {"properties": {"a": True, "b": {"$ref": "#/nowhere"}, "c": {"type": ["string", "null"]}, "d": {"const": 1}}}
    assert [one.type for one in schema.settings(odd)] == ["any", "any", "string | null", "1"]


def test_a_setting_with_a_dot_in_its_name_is_written_as_set_reads_it():
    inner = {"type": "object", "properties": {"gpt-4.1": {"type": "number"}}}
    found = schema.settings({"properties": {"models": inner}})
    assert [one.path for one in found] == ["models", 'models."gpt-4.1"']
