"""Declaring an experiment."""

from datetime import timedelta
from typing import Any

import pytest
from athanor.experiment import DefinitionError, RunContext, definition_of, experiment
from pydantic import BaseModel

from tests.unit.experiment import postponed_annotations


class Config(BaseModel):
    n: int = 1


def test_the_function_is_returned_unchanged_with_its_definition() -> None:
    def function(ctx: RunContext[Config]) -> str:
        """Does a thing.

        In detail.
        """
        return "called"

    decorated = experiment(
        name="thing",
        title="Thing",
        timeout=timedelta(hours=1),
        cancel_grace_period=timedelta(seconds=3),
        max_attempts=3,
        retry_backoff=timedelta(0),
        lost_after=timedelta(minutes=5),
        log_level="debug",
    )(function)

    assert decorated is function
    assert decorated(None) == "called"  # type: ignore[arg-type]
    definition = definition_of(decorated)
    assert definition is not None
    assert (definition.name, definition.title) == ("thing", "Thing")
    assert definition.description == "Does a thing.\n\nIn detail."
    assert definition.config_type is Config
    assert definition.function is function
    assert definition.module == __name__
    assert (definition.timeout, definition.max_attempts) == (timedelta(hours=1), 3)
    with pytest.raises(AttributeError):
        definition.name = "other"  # type: ignore[misc]


def test_bare_it_is_named_after_the_function() -> None:
    @experiment
    def my_experiment(ctx: RunContext[Config]) -> None: ...

    definition = definition_of(my_experiment)
    assert definition is not None
    assert (definition.name, definition.description, definition.config_type) == ("my_experiment", "", Config)


def test_what_is_no_experiment_has_no_definition() -> None:
    assert definition_of(lambda ctx: None) is None
    assert definition_of(5) is None
    assert definition_of(Config) is None


@pytest.mark.parametrize(
    "annotation", [None, RunContext, RunContext[Any], RunContext[dict[str, Any]], "RunContext[dict]"]
)
def test_without_a_model_any_object_is_taken(annotation: Any) -> None:
    def function(ctx: Any) -> None: ...

    function.__annotations__ = {} if annotation is None else {"ctx": annotation}

    definition = definition_of(experiment(function))
    assert definition is not None
    assert definition.config_type is None


def test_annotations_may_be_strings() -> None:
    class Local(BaseModel):
        pass

    @experiment
    def quoted(ctx: "RunContext[Local]") -> "NotThere": ...  # type: ignore[name-defined]  # noqa: F821

    definition = definition_of(quoted)
    assert definition is not None
    assert definition.config_type is Local

    postponed = definition_of(postponed_annotations.postponed)
    assert postponed is not None
    assert postponed.config_type is postponed_annotations.Config


def test_the_model_may_be_given() -> None:
    @experiment(name="given", config=Config)
    def given(ctx: Any) -> None: ...

    definition = definition_of(given)
    assert definition is not None
    assert definition.config_type is Config


def test_async_functions_are_taken() -> None:
    @experiment
    async def waits(ctx: RunContext[Config]) -> None: ...

    assert definition_of(waits) is not None


def no_parameter() -> None: ...


def keyword_only(*, ctx: Any) -> None: ...


def two_parameters(ctx: Any, other: int) -> None: ...


def generates(ctx: Any) -> Any:
    yield 1


def unknown_model(ctx: "RunContext[NotThere]") -> None: ...  # type: ignore[name-defined]  # noqa: F821


def no_model(ctx: RunContext[int]) -> None: ...


def fine(ctx: Any, other: int = 1, *more: int, **rest: int) -> None: ...


@pytest.mark.parametrize(
    ("function", "options", "text"),
    [
        (no_parameter, {}, "experiment no_parameter takes no context; its first parameter is the RunContext"),
        (keyword_only, {}, "experiment keyword_only takes no context"),
        (two_parameters, {}, "experiment two_parameters is called with the context alone, but also takes 'other'"),
        (generates, {}, "experiment generates is a generator: nothing would execute it"),
        (unknown_model, {}, "experiment unknown_model: the annotation 'RunContext[NotThere]' of 'ctx' cannot be read"),
        (no_model, {}, "experiment 'no_model': the configuration is <class 'int'>, not a pydantic model"),
        (fine, {"config": {"n": 1}}, "experiment 'fine': the configuration is {'n': 1}, not a pydantic model"),
        (fine, {"name": ""}, "experiment '': a name is 1 to 200 printable characters"),
        (fine, {"name": "a\nb"}, "experiment 'a\\nb': a name is 1 to 200 printable characters"),
        (fine, {"name": "x" * 201}, "experiment 'xxx"),
        (fine, {"log_level": "loud"}, "experiment 'fine': log_level is 'loud', not one of debug, info, warn, error"),
        (fine, {"max_attempts": 0}, "experiment 'fine': max_attempts is 0, not 1 to 1000"),
        (fine, {"max_attempts": 1001}, "experiment 'fine': max_attempts is 1001, not 1 to 1000"),
        (fine, {"timeout": 60}, "experiment 'fine': timeout is 60, not a timedelta"),
        (fine, {"timeout": timedelta(0)}, "experiment 'fine': timeout is 0:00:00, which is no time to wait"),
        (fine, {"retry_backoff": timedelta(-1)}, "experiment 'fine': retry_backoff is -1 day"),
        (fine, {"retry_backoff": timedelta(seconds=601)}, "experiment 'fine': retry_backoff is 0:10:01, more than"),
        (fine, {"lost_after": timedelta(seconds=69)}, "experiment 'fine': lost_after is 0:01:09, less than 0:01:10"),
    ],
)
def test_what_cannot_work_is_told_when_the_module_is_imported(
    function: Any, options: dict[str, Any], text: str
) -> None:
    with pytest.raises(DefinitionError) as refused:
        experiment(**options)(function)

    assert str(refused.value).startswith(text)


def test_parameters_with_defaults_are_fine() -> None:
    assert definition_of(experiment(name="fine")(fine)) is not None
