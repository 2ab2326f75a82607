"""Declaring an experiment: the decorator and what it attaches."""

import inspect
import sys
import typing
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from athanor.experiment.context import Level, RunContext
from athanor.experiment.errors import DefinitionError
from athanor.experiment.wire import LEVELS

if TYPE_CHECKING:
    from pydantic import BaseModel

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

MAX_NAME_CHARACTERS = 200
# What the orchestrator takes, told where it is declared: a run that it refuses would be somebody else's surprise.
MOST_ATTEMPTS = 1000
LONGEST_BACKOFF = timedelta(minutes=10)
SHORTEST_LOST_AFTER = timedelta(seconds=60)  # beside the grace period
DEFAULT_GRACE_PERIOD = timedelta(seconds=10)

_ATTRIBUTE = "__athanor_experiment__"


@dataclass(frozen=True, slots=True)
class Definition:
    """An experiment as its author declared it. None means not said: the server's default holds."""

    name: str
    function: Callable[..., Any]
    title: str = ""
    description: str = ""
    config_type: "type[BaseModel] | None" = None  # None: any JSON object will do
    timeout: timedelta | None = None
    cancel_grace_period: timedelta | None = None
    max_attempts: int | None = None
    retry_backoff: timedelta | None = None
    lost_after: timedelta | None = None
    log_level: Level = "info"  # the least that the standard `logging` module records

    @property
    def module(self) -> str:
        """Name of the module that it is written in."""
        return self.function.__module__


@overload
def experiment(function: FunctionT, /) -> FunctionT: ...


@overload
def experiment(
    *,
    name: str | None = None,
    title: str = "",
    description: str | None = None,
    config: "type[BaseModel] | None" = None,
    timeout: timedelta | None = None,
    cancel_grace_period: timedelta | None = None,
    max_attempts: int | None = None,
    retry_backoff: timedelta | None = None,
    lost_after: timedelta | None = None,
    log_level: Level = "info",
) -> Callable[[FunctionT], FunctionT]: ...


def experiment(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    title: str = "",
    description: str | None = None,
    config: "type[BaseModel] | None" = None,
    timeout: timedelta | None = None,
    cancel_grace_period: timedelta | None = None,
    max_attempts: int | None = None,
    retry_backoff: timedelta | None = None,
    lost_after: timedelta | None = None,
    log_level: Level = "info",
) -> Any:
    """Declare a function that takes a RunContext to be an experiment; `async def` works, too. It is returned unchanged.

    Args:
        name: unique over all experiments, at most 200 characters; by default the function's. title: for people; by
        default the name. description: what it does; by default the function's docstring. config: the pydantic model of
        its configuration; by default what the annotation `RunContext[...]` says. Without either,
            any JSON object is taken, and `ctx.config` is a dict.
        timeout: end an attempt after this long; by default never.
        cancel_grace_period: how long it may take to stop by itself once asked; by default 10 s.
        max_attempts: how often a run may be tried in all, at most 1000 times; by default once.
        retry_backoff: how long to wait before the second attempt, and twice as long before each further one, up to 10
        min; by default 5 s. lost_after: give a silent runner up after this long, at least 60 s and the grace period; by
        default 10 min while attempts are left, else 24 h.
        log_level: the least that the standard `logging` module records.

    Raises DefinitionError at once, when the module is imported.
    """

    scope = sys._getframe(1).f_locals  # pyright: ignore[reportPrivateUsage] - names for the annotation

    def declare(function: Callable[..., Any]) -> Callable[..., Any]:
        parameter = _context_parameter(function)
        definition = Definition(
            name=function.__name__ if name is None else name,
            function=function,
            title=title,
            description=inspect.getdoc(function) or "" if description is None else description,
            config_type=_annotated_config(function, parameter, scope) if config is None else config,
            timeout=timeout,
            cancel_grace_period=cancel_grace_period,
            max_attempts=max_attempts,
            retry_backoff=retry_backoff,
            lost_after=lost_after,
            log_level=log_level,
        )
        _check(definition)
        setattr(function, _ATTRIBUTE, definition)
        return function

    return declare if function is None else declare(function)


def definition_of(function: object) -> Definition | None:
    """The definition that the decorator attached; None for anything else."""
    attached = getattr(function, "__dict__", {}).get(_ATTRIBUTE)
    return attached if isinstance(attached, Definition) else None


def _context_parameter(function: Callable[..., Any]) -> inspect.Parameter:
    named = f"experiment {function.__qualname__}"
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise DefinitionError(f"{named} is a generator: nothing would execute it. Record results instead of yielding")
    parameters = list(inspect.signature(function).parameters.values())
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if not parameters or parameters[0].kind not in positional:
        raise DefinitionError(f"{named} takes no context; its first parameter is the RunContext")
    for parameter in parameters[1:]:
        if parameter.kind in positional and parameter.default is inspect.Parameter.empty:
            raise DefinitionError(f"{named} is called with the context alone, but also takes {parameter.name!r}")
    return parameters[0]


def _annotated_config(
    function: Callable[..., Any], parameter: inspect.Parameter, scope: dict[str, Any]
) -> "type[BaseModel] | None":
    """Read the model out of `RunContext[Model]`, which is a string when annotations are not evaluated."""
    annotation: Any = parameter.annotation
    if isinstance(annotation, str):
        try:
            annotation = eval(annotation, {**getattr(function, "__globals__", {}), **scope})
        except Exception as error:
            raise DefinitionError(
                f"experiment {function.__qualname__}: the annotation {annotation!r} of {parameter.name!r} cannot be "
                f"read ({type(error).__name__}: {error}). Define the model above the experiment, or give it as `config`"
            ) from error
    if typing.get_origin(annotation) is not RunContext:
        return None
    (model,) = typing.get_args(annotation)
    plain = model is Any or isinstance(model, TypeVar) or (typing.get_origin(model) or model) is dict
    return None if plain else cast("type[BaseModel]", model)


def _check(definition: Definition) -> None:
    named = f"experiment {definition.name!r}"
    name = definition.name
    if not 1 <= len(name) <= MAX_NAME_CHARACTERS or not name.isprintable():
        raise DefinitionError(f"{named}: a name is 1 to {MAX_NAME_CHARACTERS} printable characters")
    model: Any = definition.config_type
    if model is not None and not (isinstance(model, type) and hasattr(model, "model_json_schema")):
        raise DefinitionError(f"{named}: the configuration is {model!r}, not a pydantic model")
    if definition.log_level not in LEVELS:
        raise DefinitionError(f"{named}: log_level is {definition.log_level!r}, not one of {', '.join(LEVELS)}")
    if definition.max_attempts is not None and not 1 <= definition.max_attempts <= MOST_ATTEMPTS:
        raise DefinitionError(f"{named}: max_attempts is {definition.max_attempts}, not 1 to {MOST_ATTEMPTS}")
    for field in ("timeout", "cancel_grace_period", "retry_backoff", "lost_after"):
        value: Any = getattr(definition, field)
        if value is not None and not isinstance(value, timedelta):
            raise DefinitionError(f"{named}: {field} is {value!r}, not a timedelta")
        if value is not None and (value < timedelta() or (value == timedelta() and field == "timeout")):
            raise DefinitionError(f"{named}: {field} is {value}, which is no time to wait")
    if definition.retry_backoff is not None and definition.retry_backoff > LONGEST_BACKOFF:
        raise DefinitionError(f"{named}: retry_backoff is {definition.retry_backoff}, more than {LONGEST_BACKOFF}")
    grace = DEFAULT_GRACE_PERIOD if definition.cancel_grace_period is None else definition.cancel_grace_period
    shortest = SHORTEST_LOST_AFTER + grace
    if definition.lost_after is not None and definition.lost_after < shortest:
        raise DefinitionError(f"{named}: lost_after is {definition.lost_after}, less than {shortest}")
