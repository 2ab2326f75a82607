"""What becomes of a configuration: it is read, checked against the experiment's schema, and its defaults are filled in.

Pure functions over text. A large one takes a while, so callers on the event loop give this to a thread.
"""

from collections import OrderedDict
from dataclasses import dataclass
from hashlib import sha256

from athanor_orchestrator.domain.errors import ConfigurationInvalid, InvalidFields, Violation
from athanor_orchestrator.domain.records import Experiment
from athanor_orchestrator.engine import json_text

SIZE_LIMIT = 256 * 1024  # bytes of UTF-8
MOST_REMEMBERED = 4096  # pairs, of 32 bytes each


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found."""

    violations: tuple[Violation, ...]  # `field` is a JSON Pointer into the configuration; empty when it is valid
    configuration_json: str  # with defaults filled in, as it would be stored; empty when there are violations
    readable: bool = True  # False when it is not even JSON that can be kept


def check(text: str, experiment: Experiment) -> Checked:
    """Check a configuration, given as JSON text (empty means `{}`), and fill in its defaults."""
    # Only here: the library behind it takes a while to load and stays in memory, and the first check can wait for it.
    from athanor_orchestrator.engine import defaults
    from athanor_orchestrator.engine.schema import BrokenSchema, compile_schema

    if len(text.encode()) > SIZE_LIMIT:
        return _unreadable(Violation("", f"is {len(text.encode())} bytes; at most {SIZE_LIMIT} are kept"))
    try:
        value = json_text.read(text or "{}")
    except json_text.Unreadable as error:
        return _unreadable(*error.violations)
    if not isinstance(value, dict):
        return _unreadable(Violation("", "must be a JSON object"))

    try:
        schema = compile_schema(experiment.configuration_schema_json)
        violations = schema.violations(value)
        if violations:
            return Checked(tuple(violations), "")
        filled = json_text.write(defaults.fill(value, schema))
    except BrokenSchema as error:
        fault = f"cannot be checked: the schema of experiment {experiment.name!r} is broken: {error}"
        return Checked((Violation("", fault),), "")
    if len(filled.encode()) > SIZE_LIMIT:
        fault = f"is {len(filled.encode())} bytes with its defaults; at most {SIZE_LIMIT} are kept"
        return _unreadable(Violation("", fault))
    return Checked((), filled)


def accept(text: str, experiment: Experiment, field: str) -> str:
    """Return what is stored for a configuration; raise InvalidFields or ConfigurationInvalid when it is refused.

    `field` is the path of the request's field, for what is not readable at all.
    """
    checked = check(text, experiment)
    if not checked.readable:
        raise InvalidFields(*(Violation(field + v.field, v.description) for v in checked.violations))
    if checked.violations:
        raise ConfigurationInvalid(experiment.name, checked.violations)
    return checked.configuration_json


def require_fit(stored: str, experiment: Experiment) -> None:
    """Raise ConfigurationInvalid when a configuration that was stored once does not fit the definition as it is now."""
    checked = check(stored, experiment)
    if checked.violations:
        raise ConfigurationInvalid(experiment.name, checked.violations)


class Unchecked(Exception):
    """Whether a stored configuration fits has not been looked at yet, and a transaction is no place for that."""

    def __init__(self, configuration_json: str, experiment: Experiment) -> None:
        super().__init__(f"a configuration of experiment {experiment.name!r} was not checked")
        self.configuration_json = configuration_json
        self.experiment = experiment


class Fitting:
    """Which configurations were found to fit which definitions lately: by their texts, so it is never out of date."""

    def __init__(self) -> None:
        self._found: OrderedDict[bytes, None] = OrderedDict()

    def require(self, stored: str, experiment: Experiment) -> None:
        """Raise Unchecked unless it is known that this fits. Takes no time."""
        if _pair(stored, experiment) not in self._found:
            raise Unchecked(stored, experiment)

    def look(self, stored: str, experiment: Experiment) -> None:
        """Find out, and remember it, as `require_fit` does. Raises ConfigurationInvalid."""
        require_fit(stored, experiment)
        self._found[_pair(stored, experiment)] = None
        if len(self._found) > MOST_REMEMBERED:
            self._found.popitem(last=False)


def _pair(stored: str, experiment: Experiment) -> bytes:
    digest = sha256(stored.encode())
    digest.update(b"\0")  # JSON has none
    digest.update(experiment.configuration_schema_json.encode())
    return digest.digest()


def _unreadable(*violations: Violation) -> Checked:
    return Checked(violations, "", readable=False)
