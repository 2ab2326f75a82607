"""What is said to a value that an option, or an argument, does not take.

Typer checks values with pydantic, and says what that says: `Input should be greater than or equal to 1`.
"""

from typing import Any, cast

import typer

_LONGEST = 60  # characters of a value that are said


def reword(error: typer.BadParameter) -> None:
    """Put what `error` says into the words of this program, where it comes from a check of typer's."""
    found = _found(error)
    if found is None:
        return
    kind, value = str(found.get("type", "")), _value(found.get("input"))
    match kind:
        case "greater_than_equal" | "less_than_equal" | "greater_than" | "less_than" | "finite_number":
            error.message = f"it is {_range(error)}, not {value}"
        case "int_parsing_size":
            error.message = f"it is {_range(error)}, not a number of {len(str(found.get('input')))} digits"
        case _ if kind.startswith("int_"):
            error.message = f"{value!r} is no whole number"
        case _ if kind.startswith("float_"):
            error.message = f"{value!r} is no number"
        case _:
            error.message = error.message.removeprefix("Value error, ").removesuffix(".")


def _found(error: typer.BadParameter) -> "dict[str, Any] | None":
    """What pydantic has found, when it was pydantic."""
    errors: Any = getattr(error.__cause__, "errors", None)
    found: Any = errors() if callable(errors) else None
    return cast("dict[str, Any]", found[0]) if found else None


def _range(error: typer.BadParameter) -> str:
    parameter: Any = getattr(error, "param", None)
    least, most = getattr(parameter, "min", None), getattr(parameter, "max", None)
    if least is not None and most is not None:
        return f"a number from {least} to {most}"
    if least is not None:
        return f"at least {least}"
    return "a number" if most is None else f"at most {most}"


def _value(given: Any) -> str:
    text = str(given)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
