"""JSON text to Python objects and back, exactly where Python can: whole numbers have no limit of size."""

import json
from decimal import Decimal
from typing import Any

from athanor.client.errors import InvalidArgumentError, Violation

# Python refuses to turn longer texts into numbers by int(); by way of Decimal it does it.
_INT_DIGITS = 4000


def parse(text: str) -> Any:
    """Return the document as Python objects."""
    return json.loads(text, parse_int=_integer)


def encode(value: Any, field: str) -> str:
    """Return `value` as JSON text.

    Raises InvalidArgumentError, naming `field`, when it cannot be written as JSON: a type that JSON lacks, NaN or
    Infinity, a lone surrogate, or a structure that contains itself.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        violation = Violation(field, f"is not JSON: {error}")
        raise InvalidArgumentError(f"{violation.field} {violation.description}", violations=[violation]) from error
    return text


def _integer(text: str) -> int:
    return int(text) if len(text) <= _INT_DIGITS else int(Decimal(text))
