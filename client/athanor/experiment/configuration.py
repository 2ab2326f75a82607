"""Between the configuration as JSON and the pydantic model that an experiment declares."""

import hashlib
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from athanor.experiment import jsontext

if TYPE_CHECKING:
    from pydantic import BaseModel

# What an experiment without a model takes.
ANY_OBJECT_SCHEMA: dict[str, Any] = {"type": "object"}


class ConfigurationError(Exception):
    """The configuration does not fit the experiment. The text is one line; `detail` says everything."""

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail


class Configuration(NamedTuple):
    """A configuration that fits."""

    config: Any  # the model, or the dict where there is none
    plain: dict[str, Any]  # as JSON, every default filled in
    text: str  # the same as JSON text


def schema(model: "type[BaseModel] | None") -> dict[str, Any]:
    """The JSON Schema that configurations are checked against before they get here.

    It refuses names that no field has, in every model that does not say with `extra` what becomes of them: nothing
    would read a misspelt one.
    """
    if model is None:
        return ANY_OBJECT_SCHEMA
    from athanor.experiment import modelschema  # it needs pydantic, which the model has brought in

    return model.model_json_schema(schema_generator=modelschema.Closed, mode="validation")


def schema_digest(text: str) -> str:
    """Return the SHA-256, in hex, of a schema's text as it was described."""
    return hashlib.sha256(text.encode()).hexdigest()


def schema_text(model: "type[BaseModel] | None") -> str:
    """Return the schema as the text that is described, and told by its digest."""
    return jsontext.encode(schema(model), "configuration schema").decode()


def defaults(model: "type[BaseModel] | None") -> dict[str, Any]:
    """The configuration made of defaults alone; fields without one are left out."""
    if model is None:
        return {}
    # A model made without validation has its defaults and lacks the rest, which is what is wanted here. `round_trip`
    # leaves out what is computed: no configuration may have it.
    made = model.model_construct()
    required = {name for name, field in model.model_fields.items() if field.is_required()}
    return made.model_dump(mode="json", by_alias=True, exclude=required, round_trip=True, warnings=False)


def read(model: "type[BaseModel] | None", text: str) -> Configuration:
    """Validate a configuration, as JSON text, and fill its defaults in. Raises ConfigurationError."""
    if model is None:
        try:
            plain: Any = json.loads(text)
        except ValueError as error:
            raise ConfigurationError(f"the configuration is not JSON: {error}") from error
        if not isinstance(plain, dict):
            raise ConfigurationError("the configuration is not an object")
        return Configuration(plain, {**plain}, text)

    from pydantic import ValidationError  # the model has brought it in

    try:
        config = model.model_validate_json(text)
    except ValidationError as error:
        faults = [
            f"{'/'.join(map(str, fault['loc'])) or 'the configuration'}: {fault['msg']}"
            for fault in error.errors(include_url=False)
        ]
        raise ConfigurationError("; ".join(faults), str(error)) from error
    except Exception as error:  # a validator of the author's
        raise ConfigurationError(f"{type(error).__name__}: {error}") from error
    return from_model(config)


def from_model(config: "BaseModel") -> Configuration:
    """Write a model as the configuration that it is. Raises ConfigurationError when it cannot be written as JSON."""
    try:
        plain = config.model_dump(mode="json", by_alias=True)
        return Configuration(config, plain, jsontext.encode(plain, "configuration").decode())
    except Exception as error:  # a serializer of the author's, or a value that JSON does not have
        raise ConfigurationError(f"the configuration cannot be written as JSON: {error}") from error
