"""Which names the schema of an author's model lets through: those that something would read."""

from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, TypeVar

import pytest
from athanor.experiment import configuration
from pydantic import (
    AliasPath,
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    computed_field,
    field_validator,
    model_validator,
)
from typing_extensions import TypedDict

T = TypeVar("T")


class Plain(BaseModel):
    n: int = 1


class Empty(BaseModel):
    pass


class Forbidding(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Allowing(BaseModel):
    model_config = ConfigDict(extra="allow")
    n: int = 1


class Ignoring(BaseModel):
    model_config = ConfigDict(extra="ignore")
    n: int = 1


class Typed(BaseModel):
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, int]  # type: ignore[assignment]


class Child(Plain):
    m: int = 2


class OpenChild(Allowing):
    m: int = 2


class ClosedChild(Allowing):
    model_config = ConfigDict(extra="forbid")


class Otherwise(BaseModel):
    model_config = ConfigDict(frozen=True, title="Something else is said")


class Own(BaseModel):
    model_config = ConfigDict(json_schema_extra={"additionalProperties": {"type": "integer"}})


class Box(BaseModel, Generic[T]):
    inside: T


class Validated(BaseModel):
    n: int = 1

    @model_validator(mode="before")
    @classmethod
    def before(cls, value: Any) -> Any:
        return value

    @model_validator(mode="after")
    def after(self) -> "Validated":
        return self

    @field_validator("n")
    @classmethod
    def positive(cls, value: int) -> int:
        return value


class Renaming(BaseModel):
    model_config = ConfigDict(extra="ignore")
    n: int = Field(1, validation_alias=AliasPath("inner", "n"))


@pytest.mark.parametrize(
    ("model", "additional"),
    [
        (Plain, False),
        (Empty, False),
        (Forbidding, False),
        (Allowing, True),
        (Ignoring, None),
        (Typed, {"type": "integer"}),
        (Child, False),
        (OpenChild, True),
        (ClosedChild, False),
        (Otherwise, False),
        (Own, {"type": "integer"}),
        (Box[int], False),
        (Validated, False),
        (Renaming, None),
    ],
)
def test_a_model_is_closed_unless_it_says_what_becomes_of_other_names(model: type[BaseModel], additional: Any) -> None:
    assert configuration.schema(model).get("additionalProperties") == additional


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (RootModel[dict[str, int]], {"type": "object", "additionalProperties": {"type": "integer"}}),
        (RootModel[list[int]], {"type": "array", "items": {"type": "integer"}}),
        (RootModel[dict[str, Any]], {"type": "object", "additionalProperties": True}),
    ],
)
def test_a_root_model_is_what_it_holds(model: type[BaseModel], expected: dict[str, Any]) -> None:
    described = configuration.schema(model)
    assert {key: value for key, value in described.items() if key != "title"} == expected


class Row(TypedDict):
    a: int


@dataclass
class Point:
    x: int = 0


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    tricks: list[str] = []


class Node(BaseModel):
    value: int = 0
    children: list["Node"] = []
    later: "Later | None" = None


class Later(BaseModel):
    n: int = 0


class Nested(BaseModel):
    plain: Plain = Plain()
    boxed: Box[Plain] = Box(inside=Plain())
    listed: list[Child] = []
    named: dict[str, Validated] = {}
    maybe: Empty | None = None
    pet: Annotated[Cat | Dog, Field(discriminator="kind")] = Cat()
    tree: Node = Node()
    root: RootModel[Otherwise] | None = None
    allowing: Allowing = Allowing()
    ignoring: Ignoring = Ignoring()
    free: dict[str, Any] = {}
    row: Row = {"a": 1}
    point: Point = Point()


Node.model_rebuild()


def test_models_within_are_closed_likewise_and_what_is_no_model_stays_as_it_is() -> None:
    schema = configuration.schema(Nested)
    kinds = {name: part.get("additionalProperties") for name, part in schema["$defs"].items() if "properties" in part}

    opened = {"Allowing": True, "Ignoring": None, "Row": None, "Point": None}
    closed = ["Plain", "Box_Plain_", "Child", "Validated", "Empty", "Cat", "Dog", "Node", "Later", "Otherwise"]
    assert kinds == opened | dict.fromkeys(closed, False)
    assert schema["additionalProperties"] is False
    assert schema["properties"]["free"]["additionalProperties"] is True


def test_an_open_model_does_not_open_those_within() -> None:
    class Outer(BaseModel):
        model_config = ConfigDict(extra="allow")
        inner: Plain = Plain()

    schema = configuration.schema(Outer)
    assert schema["additionalProperties"] is True
    assert schema["$defs"]["Plain"]["additionalProperties"] is False


def test_nothing_else_of_the_schema_changes() -> None:
    def opened(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: opened(part) for key, part in value.items() if (key, part) != ("additionalProperties", False)}
        return [opened(part) for part in value] if isinstance(value, list) else value

    assert opened(configuration.schema(Nested)) == Nested.model_json_schema(mode="validation")


def test_the_defaults_have_no_name_that_the_schema_refuses() -> None:
    class Computing(BaseModel):
        n: int = 2

        @computed_field
        def square(self) -> int:
            return self.n**2

    class Outer(Computing):
        inner: Computing = Computing()

    assert configuration.defaults(Outer) == {"n": 2, "inner": {"n": 2}}
