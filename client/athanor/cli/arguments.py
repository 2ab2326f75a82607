"""What people write on the command line, read: `--set a.b=3`, `--label k=v`, `--timeout 1h30m`."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import typer

from athanor.cli import jsontext

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DOT = re.compile(r"(?<!\\)\.")


def configuration(file: Path | None, assignments: Sequence[str], base: Any = None) -> dict[str, Any]:
    """Return the configuration that `--config FILE` and `--set` options make, on top of `base`.

    Raises typer.BadParameter, naming the option, for a file that is no configuration (see `configfile`), or an
    assignment that cannot be made.
    """
    result: dict[str, Any] = base or {}
    if file is not None:
        from athanor.cli import configfile

        result = configfile.read(file)
    for assignment in assignments:
        _assign(result, assignment)
    return result


def labels(pairs: Sequence[str]) -> dict[str, str]:
    """Return the labels of `--label KEY=VALUE` options."""
    result = dict[str, str]()
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise typer.BadParameter(f"write KEY=VALUE, not {pair!r}", param_hint="--label")
        result[key] = value
    return result


def duration(text: str | None, option: str = "--timeout") -> timedelta | None:
    """Return a duration: `90` (seconds), `90s`, `1.5h`, `1h30m`, `250ms`."""
    if text is None:
        return None
    parts = [(text, "s")] if re.fullmatch(r"\d+(\.\d+)?", text) else _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) not in (text, f"{text}s"):
        raise typer.BadParameter(f"write a duration like 90s, 5m or 1h30m, not {text!r}", param_hint=option)
    try:
        return timedelta(seconds=sum(float(number) * _SECONDS[unit] for number, unit in parts))
    except OverflowError as error:
        raise typer.BadParameter(f"{text} is too long", param_hint=option) from error


def moment(text: str | None, now: datetime, option: str = "--since") -> datetime | None:
    """Return a time: so long ago (`10m`), or as ISO 8601 writes it, of this machine's time zone when it names none."""
    if text is None:
        return None
    wrong = f"write how long ago, like 90s or 1h30m, or a time like 2026-01-31T12:00, not {text!r}"
    try:
        ago = duration(text, option)
    except typer.BadParameter:
        ago = None
    try:
        return datetime.fromisoformat(text).astimezone() if ago is None else now - ago
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(wrong, param_hint=option) from error


def path_names(path: str) -> list[str]:
    """Return the names that a path of `--set` is made of; a dot in a name is written `\\.`."""
    return [name.replace("\\.", ".") for name in _DOT.split(path)]


def value(text: str) -> Any:
    """Return the JSON value that `text` is; what is not JSON is a string as it stands.

    Raises typer.BadParameter for an object that has a key twice.
    """
    try:
        return jsontext.loads(text)
    except jsontext.RepeatedKeyError as error:
        raise typer.BadParameter(str(error), param_hint="--set") from error
    except (ValueError, RecursionError):
        return text


def _assign(document: dict[str, Any], assignment: str) -> None:
    """Set one value by its path. Objects on the way are made; a place in a list must be there, or be the next one."""
    path, equals, text = assignment.partition("=")
    if not equals or not path:
        raise typer.BadParameter(f"write KEY=VALUE, not {assignment!r}", param_hint="--set")
    names = path_names(path)
    here: Any = document
    for depth, name in enumerate(names):
        last = depth == len(names) - 1
        new: Any = value(text) if last else {}
        if isinstance(here, dict):
            members = cast("dict[str, Any]", here)
            here = members.setdefault(name, new)
            if last:
                members[name] = new
        elif isinstance(here, list):
            here = _place(cast("list[Any]", here), name, new, last, path)
        else:
            taken = ".".join(names[:depth])
            raise typer.BadParameter(
                f"{path}: {taken} is {jsontext.dumps(here)}, it has no members", param_hint="--set"
            )


def _place(items: list[Any], name: str, new: Any, last: bool, path: str) -> Any:
    if not name.isdecimal() or jsontext.integer(name) > len(items):
        raise typer.BadParameter(f"{path}: {name!r} is no place in a list of {len(items)}", param_hint="--set")
    index = int(name)
    if index == len(items):
        items.append(new)
    elif last:
        items[index] = new
    return items[index]
