"""Names that no field has, in an experiment that is run in a test's own process."""

from typing import Annotated, Any, Literal

import pytest
from athanor.experiment import DefinitionError, RunContext, experiment
from athanor.experiment.testing import ConfigurationError, run_experiment
from pydantic import BaseModel, ConfigDict, Field, RootModel, model_validator


class Step(BaseModel):
    length: int = 1
    then: "Step | None" = None


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    step: Step = Step()


class Ignoring(BaseModel):
    model_config = ConfigDict(extra="ignore")


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog", "wolf"] = "dog"
    tricks: int = 0


class Needy(BaseModel):
    name: str


class Walks(BaseModel):
    walks: int = 1
    a_lias: int = Field(1, alias="a-lias")
    step: Step = Step()
    maybe: Step | None = None
    listed: list[Step] = []
    pair: tuple[int, Step] = (1, Step())
    named: dict[str, Step] = {}
    free: dict[str, Any] = {}
    opened: Open = Open()
    ignoring: Ignoring = Ignoring()
    pet: Annotated[Cat | Dog, Field(discriminator="kind")] = Cat()
    animal: Cat | Dog = Cat()
    one_or_more: Step | list[Step] = []
    root: RootModel[list[Step]] = RootModel[list[Step]]([])
    needy: Needy | None = None


@experiment
def walking(ctx: RunContext[Walks]) -> None:
    """Walks."""


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"wlks": 2}, "wlks: is not a field of this configuration (did you mean 'walks'?)"),
        ({"zzz": 2}, "zzz: is not a field of this configuration"),
        ({"a_lias": 2}, "a_lias: is not a field of this configuration (did you mean 'a-lias'?)"),
        ({"step": {"lenght": 2}}, "step/lenght: is not a field of this configuration (did you mean 'length'?)"),
        ({"step": {"then": {"zzz": 2}}}, "step/then/zzz: is not a field of this configuration"),
        ({"maybe": {"zzz": 2}}, "maybe/zzz: is not a field of this configuration"),
        ({"listed": [{}, {"zzz": 2}]}, "listed/1/zzz: is not a field of this configuration"),
        ({"pair": [1, {"zzz": 2}]}, "pair/1/zzz: is not a field of this configuration"),
        ({"named": {"any": {"zzz": 2}}}, "named/any/zzz: is not a field of this configuration"),
        ({"opened": {"step": {"zzz": 2}}}, "opened/step/zzz: is not a field of this configuration"),
        (
            {"pet": {"kind": "dog", "trick": 9}},
            "pet/trick: is not a field of this configuration (did you mean 'tricks'?)",
        ),
        ({"animal": {"kind": "wolf", "lives": 9}}, "animal/lives: is not a field of this configuration"),
        ({"animal": {"zzz": 9}}, "animal/zzz: is not a field of this configuration"),
        ({"one_or_more": {"zzz": 9}}, "one_or_more/zzz: is not a field of this configuration"),
        ({"one_or_more": [{"zzz": 9}]}, "one_or_more/0/zzz: is not a field of this configuration"),
        ({"root": [{"zzz": 9}]}, "root/0/zzz: is not a field of this configuration"),
        ({"needy": {"nme": "x"}}, "needy/nme: is not a field of this configuration (did you mean 'name'?)"),
        (
            {"yyy": 1, "step": {"zzz": 2}},
            "yyy: is not a field of this configuration; step/zzz: is not a field of this configuration",
        ),
    ],
)
def test_a_name_that_no_field_has_is_refused(config: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        run_experiment(walking, config)
    assert str(raised.value) == text


@pytest.mark.parametrize(
    "config",
    [
        {"walks": 2, "a-lias": 3, "step": {"length": 2, "then": {"then": None}}},
        {
            "maybe": {"length": 2},
            "listed": [{"length": 2}],
            "pair": (1, {"length": 2}),
            "named": {"any": {"length": 2}},
        },
        {"free": {"any": {"zzz": [{"zzz": 1}]}}, "opened": {"zzz": {"zzz": 1}}, "ignoring": {"zzz": 1}},
        {"pet": {"kind": "dog", "tricks": 1}, "animal": {"tricks": 1}},
        {"one_or_more": [{"length": 1}], "root": [{"length": 1}]},
    ],
)
def test_names_that_something_takes_are_not(config: dict[str, Any]) -> None:
    assert run_experiment(walking, config).outcome == "completed"


def test_what_fits_no_alternative_is_told_by_pydantic() -> None:
    with pytest.raises(ConfigurationError, match="pet: Input tag 'cow'"):
        run_experiment(walking, {"pet": {"kind": "cow", "zzz": 1}})


class Renaming(BaseModel):
    model_config = ConfigDict(extra="ignore")
    n: int = 1

    @model_validator(mode="before")
    @classmethod
    def renamed(cls, value: dict[str, Any]) -> dict[str, Any]:
        return {"n": value.get("old", 1)}


@pytest.mark.parametrize(
    "own",
    [
        {"patternProperties": {"^x-": {"type": "integer"}}},
        {"additionalProperties": True, "anyOf": [True, {"additionalProperties": False}]},
        {"additionalProperties": True, "allOf": [True]},
        {"additionalProperties": True, "properties": {"x-n": True}},
        {"additionalProperties": True, "type": ["object", "null"]},
        {"additionalProperties": True, "$ref": "https://example.org/schema"},
    ],
)
def test_of_what_an_author_writes_himself_nothing_is_refused_that_is_not_certain(own: dict[str, Any]) -> None:
    class Inner(BaseModel):
        model_config = ConfigDict(json_schema_extra=own)

    class Outer(BaseModel):
        inner: Inner | None = None

    @experiment
    def authored(ctx: RunContext[Outer]) -> None:
        """Runs."""

    assert run_experiment(authored, {"inner": {"x-n": {"y": 2}}}).outcome == "completed"


def test_a_model_that_reads_other_names_itself_has_them() -> None:
    @experiment
    def renaming(ctx: RunContext[Renaming]) -> None:
        ctx.result("n", ctx.config.n)

    assert run_experiment(renaming, {"old": 5}).results == {"n": [5]}


def test_without_a_model_any_name_is_taken() -> None:
    @experiment
    def free(ctx: RunContext[Any]) -> None:
        """Runs."""

    assert run_experiment(free, {"zzz": {"zzz": 1}}).configuration == {"zzz": {"zzz": 1}}


def test_a_model_that_cannot_be_described_is_no_experiments() -> None:
    class Opaque(BaseModel):
        model_config = ConfigDict(arbitrary_types_allowed=True)
        thing: memoryview | None = None

    @experiment
    def opaque(ctx: RunContext[Opaque]) -> None:
        """Runs."""

    with pytest.raises(DefinitionError, match="the configuration of 'opaque' cannot be described: "):
        run_experiment(opaque, {})
