"""What a request must be before it is looked at. Each fault names its field, and every fault of a request is told."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any, cast

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from athanor_orchestrator.domain.errors import InvalidFields, Violation
from athanor_orchestrator.domain.ids import is_id
from athanor_orchestrator.engine.json_text import shorten

NAME_CHARACTERS = 200
DESCRIPTION_CHARACTERS = 64 * 1024
REASON_CHARACTERS = 1000
REQUEST_ID_CHARACTERS = 64
RESULT_KEY_BYTES = 500
SEARCH_CHARACTERS = 1000
LABELS = 64
LABEL_CHARACTERS = 200


class Faults:
    """Collects what is wrong with a request, field by field."""

    def __init__(self) -> None:
        self._violations: list[Violation] = []

    def add(self, field: str, description: str) -> None:
        """Note one fault."""
        self._violations.append(Violation(field, description))

    def settle(self) -> None:
        """Raise InvalidFields with everything that was noted, if anything was."""
        if self._violations:
            raise InvalidFields(*self._violations)

    def id(self, field: str, value: str, *, optional: bool = False) -> None:
        """Demand an identifier as the server makes them."""
        if optional and not value:
            return
        if not value:
            self.add(field, "is required")
        elif not is_id(value):
            self.add(field, f"is not an id (a UUID in lower case, with hyphens); is {_said(value)}")

    def name(self, field: str, value: str, *, optional: bool = False) -> None:
        """Demand a name of 1 to 200 characters."""
        if optional and not value:
            return
        if not value:
            self.add(field, "is required")
        self.length(field, value, NAME_CHARACTERS)

    def length(self, field: str, value: str, limit: int) -> None:
        """Demand at most `limit` characters."""
        if len(value) > limit:
            self.add(field, f"has {len(value)} characters; at most {limit} are allowed")

    def key(self, field: str, value: str) -> None:
        """Demand a key of results, of at most 500 bytes; empty selects everything."""
        size = len(value.encode())
        if size > RESULT_KEY_BYTES:
            self.add(field, f"is {size} bytes; at most {RESULT_KEY_BYTES} are allowed")

    def labels(self, field: str, labels: Mapping[str, str]) -> None:
        """Demand at most 64 labels of at most 200 characters."""
        if len(labels) > LABELS:
            self.add(field, f"has {len(labels)} labels; at most {LABELS} are allowed")
        for key, value in labels.items():
            if not 1 <= len(key) <= LABEL_CHARACTERS:
                self.add(field, f"has a key of {len(key)} characters; 1 to {LABEL_CHARACTERS} are allowed")
            if len(value) > LABEL_CHARACTERS:
                text = f"has {len(value)} characters under {_said(key)}; at most {LABEL_CHARACTERS} are allowed"
                self.add(field, text)

    def not_negative(self, field: str, value: int) -> None:
        """Demand zero or more."""
        if value < 0:
            self.add(field, f"must not be negative; is {value}")

    def specified(self, field: str, values: Iterable[int]) -> None:
        """Demand that no alternative of a list is the unspecified one."""
        if 0 in values:
            self.add(field, "must not contain the unspecified value; leave the list empty for any")

    def mask(self, field: str, paths: Collection[str], known: Collection[str]) -> None:
        """Demand a mask that names at least one field and only `known` ones."""
        if not paths:
            self.add(field, f"is empty; name one or more of {', '.join(known)}")
        for path in paths:
            if path not in known:
                self.add(field, f"{_said(path)} cannot be updated; the fields are {', '.join(known)}")

    def duration(self, field: str, value: Duration) -> timedelta | None:
        """Convert a duration; note a fault and return None when it is none."""
        try:
            return value.ToTimedelta()
        except (OverflowError, ValueError):
            self.add(field, f"is not a duration: {value.seconds} s and {value.nanos} ns")
            return None


def check_message(request: Message) -> None:
    """Refuse what no field of any request may be: text with NUL, and numbers that the enum does not have.

    PostgreSQL cannot store the first; the second comes from a caller that is newer, and must not be taken for "any".
    """
    violations = list(_message_faults(request, ""))
    if violations:
        raise InvalidFields(*violations)


def _message_faults(message: Message, prefix: str) -> Iterator[Violation]:
    for field, value in message.ListFields():
        path = prefix + field.name
        entry = field.message_type
        if entry is not None and entry.GetOptions().map_entry:
            for key, member in cast("Mapping[Any, Any]", value).items():
                yield from _value_faults(entry.fields_by_name["key"], key, path)
                yield from _value_faults(entry.fields_by_name["value"], member, path)
        else:
            for item in cast("Iterable[Any]", value if field.is_repeated else (value,)):
                yield from _value_faults(field, item, path)


def _value_faults(field: FieldDescriptor, value: Any, path: str) -> Iterator[Violation]:
    if isinstance(value, str):
        if "\0" in value:
            yield Violation(path, f"contains NUL, which is not text: {_said(value)}")
    elif field.enum_type is not None:
        if value not in field.enum_type.values_by_number:
            yield Violation(path, f"{value} is not a value of {field.enum_type.name}")
    elif isinstance(value, Message):
        yield from _message_faults(value, f"{path}.")


def _said(value: str) -> str:
    return repr(shorten(value, 60))
