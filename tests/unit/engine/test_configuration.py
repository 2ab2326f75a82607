"""What a configuration is refused for, what becomes of one that is accepted, and that no schema brings it down."""

import json
from enum import Enum
from typing import Annotated, Literal

import pytest
from athanor.experiment.configuration import schema as schema_of
from athanor_orchestrator.domain.errors import ConfigurationInvalid, InvalidFields
from athanor_orchestrator.domain.records import Experiment
from athanor_orchestrator.engine import configuration
from athanor_orchestrator.engine.configuration import accept, check
from pydantic import BaseModel, ConfigDict, Field, SecretStr


class ModelPair(BaseModel):
    model_a: str = "gpt-4o"
    model_b: str = "gpt-4o-mini"
    weight: float = Field(1.0, gt=0)


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    tricks: list[str] = ["sit"]


class Colour(Enum):
    RED = "red"
    GREEN = "green"


class Node(BaseModel):
    value: int = 0
    children: list["Node"] = []


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid")
    iterations: int = Field(10, ge=1, le=100)
    temperature: float = Field(0.7, ge=0, le=2, multiple_of=0.1)
    mode: Literal["fast", "thorough"] = "fast"
    colour: Colour = Colour.RED
    pair: ModelPair = ModelPair()
    model_pairs: list[ModelPair] = Field([ModelPair()], max_length=3)
    spare: ModelPair | None = None
    pet: Annotated[Cat | Dog, Field(discriminator="kind")] = Cat()
    named: dict[str, ModelPair] = {}
    tree: Node = Node()


def of(model: type[BaseModel]) -> Experiment:
    return Experiment(name="tested", configuration_schema_json=json.dumps(model.model_json_schema()))


def with_schema(schema: object) -> Experiment:
    return Experiment(
        name="tested", configuration_schema_json=schema if isinstance(schema, str) else json.dumps(schema)
    )


def filled(text: str, experiment: Experiment | None = None) -> object:
    checked = check(text, experiment or of(Config))
    assert checked.violations == ()
    return json.loads(checked.configuration_json)


def violations(text: str, experiment: Experiment | None = None) -> dict[str, str]:
    checked = check(text, experiment or of(Config))
    assert checked.configuration_json == ""
    return {violation.field: violation.description for violation in checked.violations}


# Defaults


def test_an_empty_configuration_becomes_what_the_author_s_own_model_makes_of_it() -> None:
    assert filled("") == filled("{}") == json.loads(Config().model_dump_json())


@pytest.mark.parametrize(
    "given",
    [
        {"pair": {"model_a": "x"}},
        {"model_pairs": [{}, {"model_b": "y"}]},
        {"model_pairs": []},
        {"spare": {}},
        {"spare": {"weight": 2.5}},
        {"spare": None},
        {"pet": {"kind": "dog"}},
        {"pet": {"kind": "cat", "lives": 3}},
        {"named": {"first": {}, "a/b~c": {"model_a": "z"}}},
        {"tree": {"children": [{"children": [{}]}]}},
    ],
    ids=json.dumps,
)
def test_defaults_are_filled_in_exactly_as_pydantic_fills_them(given: dict[str, object]) -> None:
    assert filled(json.dumps(given)) == json.loads(Config.model_validate(given).model_dump_json())


def test_a_value_that_could_be_two_models_is_left_to_the_author_s_code() -> None:
    class A(BaseModel):
        a: int = 1

    class B(BaseModel):
        b: int = 2

    class Either(BaseModel):
        either: A | B

    assert filled('{"either": {}}', of(Either)) == {"either": {}}


def test_a_default_that_only_the_author_s_code_understands_is_left_to_it() -> None:
    class Odd(BaseModel):
        made: list[int] = Field(default_factory=list)
        secret: SecretStr = SecretStr("hunter2")
        none: int = None  # type: ignore[assignment]
        unbounded: float = float("inf")
        kept: int = 1

    assert filled("{}", of(Odd)) == {"kept": 1}


def test_a_required_model_is_not_made_up() -> None:
    class Needs(BaseModel):
        pair: ModelPair

    assert violations("{}", of(Needs)) == {"/pair": "is required"}


# Numbers


def test_numbers_are_stored_in_the_words_they_were_written_in() -> None:
    numbers = "[1.0, 1e5, 1E-2, -0, -0.0, 0.10, 123456789012345678901234567890, 3.141592653589793238462643383279]"
    text = f'{{"anything": {numbers}}}'
    assert check(text, with_schema({})).configuration_json == text.replace(" ", "")


def test_an_integer_of_ten_thousand_digits_is_kept_exactly() -> None:
    digits = "7" * 10_000
    checked = check(f'{{"n": {digits}}}', with_schema({"properties": {"n": {"type": "integer", "multipleOf": 7}}}))
    assert checked.configuration_json == f'{{"n":{digits}}}'


@pytest.mark.parametrize(
    ("schema", "number", "fault"),
    [
        ({"multipleOf": 0.1}, "0.7", None),
        ({"multipleOf": 0.1}, "0.75", "must be a multiple of 0.1; is 0.75"),
        ({"multipleOf": 0.01}, "1e300", None),
        ({"multipleOf": 3}, "1e300", "must be a multiple of 3; is 1e300"),
        ({"type": "integer"}, "1.0", None),
        ({"type": "integer"}, "10e-1", None),
        ({"type": "integer"}, "1.5", "must be integer; is number"),
        ({"type": "integer"}, "true", "must be integer; is boolean"),
        ({"type": "number"}, "true", "must be number; is boolean"),
        ({"minimum": 0.1}, "0.1", None),
        ({"exclusiveMinimum": 0.1}, "0.1", "must be more than 0.1; is 0.1"),
        ({"maximum": 9007199254740992}, "9007199254740993", "must be at most 9007199254740992; is 9007199254740993"),
        ({"enum": [1, 2]}, "1.0", None),
        ({"const": 1}, "true", "must be 1; is true"),
        ({"$ref": "#/$defs/ten"}, "5", "must be at least 10; is 5"),
    ],
)
def test_numbers_are_compared_exactly(schema: dict[str, object], number: str, fault: str | None) -> None:
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "properties": {"n": schema},
        "$defs": {"ten": {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "integer", "minimum": 10}},
    }
    checked = check(f'{{"n": {number}}}', with_schema(document))
    assert [(v.field, v.description) for v in checked.violations] == ([("/n", fault)] if fault else [])


# Violations


def test_every_violation_is_told_at_once_with_its_pointer() -> None:
    text = """{"iterations": 0, "temperature": 0.75, "mode": "slow", "colour": "blue", "unheard/of": 1,
               "pair": {"weight": "heavy"}, "model_pairs": [{}, {"model_a": 5}, 7], "spare": {"weight": -1},
               "pet": {"kind": "dog", "tricks": [1]}, "named": {"a/b~c": {"weight": 0}}}"""
    assert violations(text) == {
        "/iterations": "must be at least 1; is 0",
        "/temperature": "must be a multiple of 0.1; is 0.75",
        "/mode": 'must be one of "fast", "thorough"; is "slow"',
        "/colour": 'must be one of "red", "green"; is "blue"',
        "/unheard~1of": "is not a field of this configuration",
        "/pair/weight": "must be number; is string",
        "/model_pairs/1/model_a": "must be string; is number",
        "/model_pairs/2": "must be object; is number",
        "/spare/weight": "must be more than 0; is -1",
        "/pet/tricks/0": "must be string; is number",
        "/named/a~1b~0c/weight": "must be more than 0; is 0",
    }


@pytest.mark.parametrize(
    ("text", "field", "description"),
    [
        ('{"spare": 5}', "/spare", "must be object or null; is number"),
        ('{"pet": {}}', "/pet/kind", "is required; must be one of cat, dog"),
        ('{"pet": {"kind": "fish"}}', "/pet/kind", 'is "fish"; must be one of cat, dog'),
        ('{"model_pairs": [{}, {}, {}, {}]}', "/model_pairs", "must have at most 3 items; has 4"),
    ],
)
def test_alternatives_are_explained_by_the_one_that_was_meant(text: str, field: str, description: str) -> None:
    assert violations(text) == {field: description}


@pytest.mark.parametrize(
    ("text", "field", "hint"),
    [
        ('{"iteratoins": 3}', "/iteratoins", "; did you mean 'iterations'?"),
        ('{"pair": {"wieght": 3}}', "/pair/wieght", "; did you mean 'weight'?"),
        ('{"model_pairs": [{}, {"model-a": "x"}]}', "/model_pairs/1/model-a", "; did you mean 'model_a'?"),
        ('{"spare": {"wieght": 1}}', "/spare/wieght", "; did you mean 'weight'?"),
        ('{"pet": {"kind": "dog", "trick": []}}', "/pet/trick", "; did you mean 'tricks'?"),
        ('{"zzz": 1}', "/zzz", ""),
        (json.dumps({"iterations" * 7: 1}), "/" + "iterations" * 7, ""),
    ],
)
def test_a_misspelt_name_is_told_with_the_one_that_may_have_been_meant(text: str, field: str, hint: str) -> None:
    experiment = Experiment(name="tested", configuration_schema_json=json.dumps(schema_of(Config)))
    assert violations(text, experiment) == {field: f"is not a field of this configuration{hint}"}


def test_similar_names_are_looked_for_a_few_times_only() -> None:
    # Comparing every name of a hostile document with every field would take minutes.
    schema: dict[str, object] = {
        "type": "object",
        "properties": {f"field_{n}": {} for n in range(10_000)},
        "additionalProperties": False,
    }
    told = violations(json.dumps({f"feild_{n}": 1 for n in range(2000)}), with_schema(schema))
    assert sum("did you mean" in text for text in told.values()) == 20


def test_a_name_that_no_pattern_allows_is_told() -> None:
    schema: dict[str, object] = {"patternProperties": {"^x_": {}}, "additionalProperties": False}
    told = violations('{"inner": {"y": 1}}', with_schema({"properties": {"inner": schema}}))
    assert told == {"/inner": "'y' does not match any of the regexes: '^x_'"}


def test_a_large_value_does_not_swell_its_violation() -> None:
    (description,) = violations(json.dumps({"mode": "x" * 100_000})).values()
    assert len(description) < 200


def test_many_violations_are_cut_off_and_it_is_said() -> None:
    checked = check(json.dumps({"model_pairs": [5] * 5000}), of(Config))
    assert len(checked.violations) == 1001
    assert checked.violations[-1].description == "has more than 1000 violations"


@pytest.mark.parametrize("item", ["5", '"\\u0000"'], ids=["does not fit", "is no text"])
def test_violations_with_long_paths_are_cut_off_long_before_they_fill_the_memory(item: str) -> None:
    # 200 kB of configuration would be answered with 200 kB for each of its items.
    items = {"type": "array", "items": {"type": "string"}}
    text = f'{{"{"k" * 200_000}": [{", ".join([item] * 1000)}]}}'
    checked = check(text, with_schema({"additionalProperties": items}))
    assert [violation.field[-2:] for violation in checked.violations] == ["/0", "/1", ""]
    assert checked.violations[-1].description == "has more than 2 violations"


# What is not readable


@pytest.mark.parametrize(
    ("text", "field", "said"),
    [
        ("{", "", "is not JSON: Expecting property name enclosed in double quotes at line 1, column 2"),
        ("[]", "", "must be a JSON object"),
        ("null", "", "must be a JSON object"),
        ('{"a": NaN}', "", "NaN is not a JSON number"),
        ('{"a": -Infinity}', "", "-Infinity is not a JSON number"),
        ('{"a": 1, "a": 2}', "", "the key 'a' stands twice in one object"),
        (r'{"a": ["x", "b\u0000c"]}', "/a/1", "contains NUL (\\u0000), which is not text"),
        (r'{"a": {"\ud800": 1}}', "/a", "has a key that contains a lone surrogate (\\ud800), which is not text"),
        ('{"a":' * 64 + "{}" + "}" * 64, "/a" * 64, "is nested deeper than 64"),
        ('{"a":' + "[" * 100_000 + "]" * 100_000 + "}", "", "is nested deeper than 64"),
        ('{"a": 1e10001}', "", "number 1e10001 is beyond 1e10000"),
        ('{"a": 1e99999999999999999999}', "", "number 1e99999999999999999999 is beyond 1e10000"),
        ('{"a": "' + "é" * 131_100 + '"}', "", "is 262209 bytes; at most 262144 are kept"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_what_cannot_be_kept_is_refused_with_its_place(text: str, field: str, said: str) -> None:
    with pytest.raises(InvalidFields) as caught:
        accept(text, with_schema({}), "instance.configuration_json")
    (violation,) = caught.value.violations
    assert violation.field == "instance.configuration_json" + field
    assert said in violation.description


def test_depth_64_is_kept_and_pairs_of_surrogates_are_text() -> None:
    text = '{"a":' * 63 + r'{"smile":"\ud83d\ude00"}' + "}" * 63
    assert json.loads(accept(text, with_schema({}), "f")) == json.loads(text)


def test_defaults_that_make_it_too_large_are_refused() -> None:
    experiment = with_schema({"properties": {"big": {"default": "x" * configuration.SIZE_LIMIT}}})
    with pytest.raises(InvalidFields, match="bytes with its defaults"):
        accept("{}", experiment, "f")


# Broken schemas


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "is not of type 'object', 'boolean'"),
        ("true", "it is not a JSON object"),
        ({"type": "intiger"}, "/type"),
        ({"properties": {"a": {"minimum": "1"}}}, "/properties/a/minimum"),
        ({"properties": {"a": {"pattern": "("}}}, ""),
        ({"properties": {"a": {"$ref": "#/$defs/missing"}}}, "missing"),
        ({"properties": {"a": {"$ref": "http://127.0.0.1:9/schema"}}}, "127.0.0.1"),
        ({"$ref": "#"}, "refers to itself"),
        ({"properties": {"a": {"multipleOf": 0}}}, "/properties/a/multipleOf"),
        ("[" * 100_000, "deep"),
        ('{"maximum": 1e99999999999999999999}', "beyond"),
    ],
    ids=lambda value: json.dumps(value)[:40],
)
def test_a_broken_schema_is_said_to_be_broken_and_nothing_else_happens(schema: object, said: str) -> None:
    with pytest.raises(ConfigurationInvalid) as caught:
        accept('{"a": "x"}', with_schema(schema), "f")
    (violation,) = caught.value.violations
    assert violation.description.startswith("cannot be checked: the schema of experiment 'tested' is broken: ")
    assert said in violation.description


def test_a_bound_of_infinity_bounds_nothing() -> None:
    schema = '{"properties": {"a": {"type": "number", "maximum": Infinity}}}'
    assert accept('{"a": 5}', with_schema(schema), "f") == '{"a":5}'


def test_a_reference_that_leads_in_a_circle_beside_defaults_ends() -> None:
    schema = {"$defs": {"a": {"allOf": [{"$ref": "#/$defs/b"}]}, "b": {"allOf": [{"$ref": "#/$defs/a"}]}}}
    assert check("{}", with_schema({**schema, "$ref": "#/$defs/a"})).violations


def test_what_fits_is_remembered_by_its_texts_and_the_oldest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configuration, "MOST_REMEMBERED", 2)
    fitting = configuration.Fitting()
    schema = '{"type": "object", "properties": {"a": {"maximum": 5}}}'
    strict = Experiment("digits", configuration_schema_json=schema)
    for number in (1, 2, 3):
        fitting.look(f'{{"a": {number}}}', strict)
    fitting.require('{"a": 3}', strict)
    with pytest.raises(configuration.Unchecked):
        fitting.require('{"a": 1}', strict)
    with pytest.raises(configuration.Unchecked) as unchecked:
        fitting.require('{"a": 3}', Experiment("digits", configuration_schema_json="{}"))
    assert unchecked.value.configuration_json == '{"a": 3}'

    with pytest.raises(ConfigurationInvalid):
        fitting.look('{"a": 6}', strict)
    with pytest.raises(configuration.Unchecked):
        fitting.require('{"a": 6}', strict)
