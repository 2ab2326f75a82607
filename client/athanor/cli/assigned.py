"""What was meant by a value of `--set` that the experiment does not take."""

import shlex
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from athanor.cli import arguments, jsontext

if TYPE_CHECKING:
    from athanor.client import Violation


@contextmanager
def explained(assignments: Sequence[str]) -> Generator[None, None, None]:
    """Within it a ConfigurationInvalidError says of each list that one of `assignments` gives as text what to write."""
    from athanor.client import ConfigurationInvalidError

    try:
        yield
    except ConfigurationInvalidError as error:
        error.violations = tuple(_explained(violation, assignments) for violation in error.violations)
        raise


def _explained(violation: "Violation", assignments: Sequence[str]) -> "Violation":
    wanted, _, _ = violation.description.partition(";")
    if "array" not in wanted.split():
        return violation
    for assignment in assignments:
        names, text = arguments.setting(assignment)
        if violation.pointer == _pointer(names) and isinstance(arguments.value(text), str):
            items = [jsontext.dumps(arguments.value(item.strip())) for item in text.split(",")]
            written = shlex.quote(f"{assignment.removesuffix(text)}[{', '.join(items)}]")
            return replace(violation, description=f"{violation.description}; a list is JSON: --set {written}")
    return violation


def _pointer(names: Sequence[str]) -> str:
    """The JSON Pointer to what `names` lead to."""
    return "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in names)
