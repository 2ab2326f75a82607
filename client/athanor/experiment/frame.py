"""The outermost frame: calls the experiment, and makes of every way in which it can end one of a closed set."""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, cast

from athanor.experiment import text
from athanor.experiment.context import RunContext
from athanor.experiment.errors import CompletedSignal, EndSignal, FailedSignal, RunCancelled
from athanor.experiment.intent import Ended
from athanor.experiment.loading import one_line, own_traceback, text_of

MAX_MESSAGE_CHARACTERS = 1000
# Of a longer traceback the beginning and the end are kept, in characters.
_DETAIL_HEAD, _DETAIL_TAIL = 8_000, 24_000


class Ending(NamedTuple):
    """How an experiment's function ended."""

    ended: Ended
    message: str = ""
    detail: str = ""
    out_of_memory: bool = False


def run_to_end(function: Callable[..., Any], context: RunContext[Any]) -> Ending:
    """Call an experiment and say how it ended. What it raises goes no further, whatever it is.

    What leaves the frame last counts: an exception that is raised while `complete()` unwinds is one that was raised.
    When nothing leaves it, what was said by `complete()` or `fail()` counts, even if the experiment caught what they
    raise. `SystemExit` and `KeyboardInterrupt` are exceptions like any other.
    """
    try:
        returned = function(context)
        if inspect.isawaitable(returned):
            import asyncio  # many experiments do without

            asyncio.run(_awaited(returned))
    except BaseException as error:  # noqa: BLE001 - this is the place where everything ends
        return _raised(error)
    return Ending(Ended.RETURNED) if context.said is None else _raised(context.said)


async def _awaited(returned: Any) -> None:
    await returned


def _raised(raised: BaseException) -> Ending:
    error = _unwrapped(raised)
    if isinstance(error, CompletedSignal):
        return Ending(Ended.COMPLETED)
    if isinstance(error, FailedSignal):
        return _said_to_fail(error.args[0])
    if isinstance(error, RunCancelled):
        return Ending(Ended.CANCELLED, fit_message(text_of(error)))
    return Ending(
        Ended.RAISED,
        fit_message(one_line(error)),
        fit_detail(own_traceback(raised)),  # of the group, too: its text may be the author's
        out_of_memory=isinstance(error, MemoryError),
    )


def _unwrapped(error: BaseException) -> BaseException:
    """Take a signal or an error out of the group in which a task group wraps it, if there is nothing else in that."""
    while isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        _, errors = group.split((EndSignal, RunCancelled))
        if errors is not None and len(group.exceptions) > 1:
            return group
        error = next(iter(group.exceptions))
    return error


def _said_to_fail(error: Any) -> Ending:
    if isinstance(error, BaseException):
        return Ending(Ended.FAILED, fit_message(one_line(error)), fit_detail(own_traceback(error)))
    said = text_of(error)
    first, _, rest = said.partition("\n")
    return Ending(
        Ended.FAILED, fit_message(first), fit_detail(said) if rest or len(first) > MAX_MESSAGE_CHARACTERS else ""
    )


def fit_message(message: str) -> str:
    """Make one line that fits; unfit characters are spelled out."""
    line = " ".join(text.encode(message).decode().splitlines())
    return line if len(line) <= MAX_MESSAGE_CHARACTERS else line[: MAX_MESSAGE_CHARACTERS - 1] + "…"


def fit_detail(detail: str) -> str:
    """Leave out the middle of what is too long, and say so."""
    whole = text.encode(detail).decode()
    left_out = len(whole) - _DETAIL_HEAD - _DETAIL_TAIL
    if left_out <= 0:
        return whole
    return f"{whole[:_DETAIL_HEAD]}\n... {left_out} characters left out ...\n{whole[-_DETAIL_TAIL:]}"
