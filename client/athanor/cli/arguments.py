"""What people write on the command line, read: `--set a.b=3`, `--label k=v`, `--timeout 1h30m`."""

import json
import re
from collections.abc import Sequence
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any, cast

import typer

from athanor.cli import jsontext

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_NUMBER = re.compile(r"\d+(\.\d+)?")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DIGITS = 9  # of a place in a list: more Python does not read when there are thousands
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NAME = re.compile(r'(?:\\\.|[^.="])*')  # as it stands; a dot in it is `\.`
_DAYS = {"today": 0, "yesterday": 1}  # days ago


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
    parts = [(text, "s")] if _NUMBER.fullmatch(text) else _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) not in (text, f"{text}s"):
        raise typer.BadParameter(f"write a duration like 90s, 5m or 1h30m, not {text!r}", param_hint=option)
    try:
        return timedelta(seconds=sum(float(number) * _SECONDS[unit] for number, unit in parts))
    except OverflowError as error:
        raise typer.BadParameter(f"{text} is too long", param_hint=option) from error


def moment(text: str | None, now: datetime, option: str = "--since") -> datetime | None:
    """Return a time: so long ago (`10m`), the beginning of a day (`today`, `yesterday`, `2026-01-31`), or as ISO 8601
    writes it; of this machine's time zone when it names none.
    """
    if text is None:
        return None
    # Seconds ago, to who thinks of `--timeout 90`; but 2026 and 20260131 are meant as dates.
    if _NUMBER.fullmatch(text):
        raise typer.BadParameter(
            f"{text}: write a day like 2026-01-31, or how long ago with its unit: 30s, 2h, 3d", param_hint=option
        )
    wrong = (
        f"write how long ago, like 90s or 1h30m, `today`, `yesterday`, or a time like 2026-01-31T12:00, not {text!r}"
    )
    if (days := _DAYS.get(text.lower())) is not None:
        today = datetime.combine(now.astimezone().date(), time())
        return (today - timedelta(days=days)).astimezone()
    try:
        ago = duration(text, option)
    except typer.BadParameter:
        ago = None
    try:
        return datetime.fromisoformat(text).astimezone() if ago is None else now - ago
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(wrong, param_hint=option) from error


def setting(assignment: str) -> tuple[tuple[str, ...], str]:
    """Return the path, name by name, and the text of the value of `PATH=VALUE`.

    Names are as `athanor.client.paths` writes them: separated by dots, and one that has a dot in it is a JSON string,
    `models."gpt-4.1"=3`; a dot may be written `\\.` too. Raises typer.BadParameter for what is no assignment.
    """
    names, place = list[str](), 0
    while not names or assignment[place : place + 1] == ".":
        begin = place + 1 if names else 0
        written = (_STRING if assignment.startswith('"', begin) else _NAME).match(assignment, begin)
        if written is None:
            raise _wrong(f"the quote in {assignment!r} is not closed: a name in quotes ends with one")
        names.append(_name(written[0], assignment))
        place = written.end()
    rest = assignment[place:]
    if rest and not rest.startswith("="):
        raise _wrong(f'in {assignment!r} a quote is inside a name: put the whole name in quotes, a quote in it as \\"')
    if not rest or not place:
        raise _wrong(f"write KEY=VALUE, not {assignment!r}")
    return tuple(names), rest[1:]


def _name(written: str, assignment: str) -> str:
    if not written.startswith('"'):
        return written.replace("\\.", ".")
    try:
        return str(json.loads(written, strict=False))
    except ValueError as error:
        raise _wrong(f"{written} in {assignment!r} is no JSON string") from error


def _wrong(text: str) -> typer.BadParameter:
    return typer.BadParameter(text, param_hint="--set")


def period(since: str | None, until: str | None, now: datetime) -> tuple[datetime | None, datetime | None]:
    """Return the times that `--since` and `--until` mean; it is no period when they are the wrong way round."""
    begin, end = moment(since, now), moment(until, now, "--until")
    if begin is not None and end is not None and begin >= end:
        raise typer.BadParameter(f"--since {since} is not before --until {until}")
    return begin, end


def value(text: str) -> Any:
    """Return the JSON value that `text` is; what is not JSON is a string as it stands.

    Raises typer.BadParameter for an object that has a key twice, or a number that no float holds.
    """
    try:
        return jsontext.loads(text)
    except (jsontext.RepeatedKeyError, jsontext.BeyondFloatError) as error:
        raise _wrong(str(error)) from error
    except (ValueError, RecursionError):
        return text


def _assign(document: dict[str, Any], assignment: str) -> None:
    """Set one value by its path. Objects on the way are made; a place in a list must be there, or be the next one."""
    names, text = setting(assignment)
    path = assignment.removesuffix(f"={text}")
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
            raise _wrong(f"{path}: {taken} is {jsontext.dumps(here)}, it has no members")


def _place(items: list[Any], name: str, new: Any, last: bool, path: str) -> Any:
    if not name.isdecimal() or len(name) > _DIGITS or int(name) > len(items):
        raise _wrong(f"{path}: {name!r} is no place in a list of {len(items)}")
    index = int(name)
    if index == len(items):
        items.append(new)
    elif last:
        items[index] = new
    return items[index]
