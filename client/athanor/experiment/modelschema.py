"""The JSON Schema of an author's model, closed to names that nothing would read."""

from typing import Any

from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema


class Closed(GenerateJsonSchema):
    """Describes a model that leaves `extra` unsaid as taking no names but its fields'.

    pydantic drops such names unless it is told otherwise. Whoever writes `extra="allow"`, or `"ignore"`, means it: for
    that model the schema stays open. What is no model (dict, TypedDict, dataclass) is described as pydantic does.
    """

    def model_schema(self, schema: core_schema.ModelSchema) -> dict[str, Any]:
        """Describe one model, the outermost or one within it."""
        described = super().model_schema(schema)
        says = "extra" in schema["cls"].model_config  # what a base class says counts
        if not says and not schema.get("root_model") and described.get("type") == "object":
            described.setdefault("additionalProperties", False)
        return described
