"""Loading experiments by import path, in a process where the author's modules are found."""

import importlib
import sys
import traceback
from collections.abc import Sequence

from athanor.experiment.definition import Definition, definition_of


class LoadError(Exception):
    """An experiment could not be loaded. The text is one line; `detail` is the traceback, if there is one."""

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail


def prepare_search_path(folders: Sequence[str]) -> None:
    """Put folders first in the search path, and take out the working directory, which `python -m` puts there."""
    if not sys.flags.safe_path:
        del sys.path[0]
    sys.path[:0] = folders


def load(module: str, name: str) -> Definition:
    """Import the definition at `package.module:attribute`, which must be the experiment `name`. Raises LoadError."""
    module_name, _, attribute = module.partition(":")
    try:
        found: object = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except BaseException as error:  # a module may raise anything, SystemExit included
        raise LoadError(f"{module} cannot be loaded: {one_line(error)}", own_traceback(error)) from error
    definition = definition_of(found)
    if definition is None:
        raise LoadError(f"{module} is no experiment")
    if definition.name != name:
        raise LoadError(f"{module} is the experiment {definition.name!r}, not {name!r}")
    return definition


def one_line(error: BaseException) -> str:
    """Say in one line what was raised."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    text = text_of(error).strip()
    return f"{name}: {text.splitlines()[0]}" if text else name


def text_of(value: object) -> str:
    """Text of what the author made; it may do anything when it is looked at."""
    try:
        return str(value)
    except BaseException:  # noqa: BLE001 - an experiment that has ended cannot raise any more
        return "<its text cannot be had>"


def own_traceback(error: BaseException) -> str:
    """Format what was raised, leaving out the frames in front that are Athanor's and the import machinery's."""
    at = error.__traceback__
    while at is not None and (
        "importlib" in at.tb_frame.f_code.co_filename or at.tb_frame.f_globals.get("__package__") == __package__
    ):
        at = at.tb_next
    try:
        return "".join(traceback.format_exception(type(error), error, at))
    except Exception:  # noqa: BLE001 - as above
        return one_line(error)
