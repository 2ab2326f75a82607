"""What is said to a value of `--set` that was meant to be a list."""

import pytest
from athanor.cli import assigned
from athanor.client.errors import ConfigurationInvalidError, Violation

ARRAY = "must be array; is string"


@pytest.mark.parametrize(
    ("assignment", "pointer", "description", "hint"),
    [
        ("rates=0.1,0.2", "/rates", ARRAY, "'rates=[0.1, 0.2]'"),
        ("a.b=x, y", "/a/b", "must be array or null; is string", """'a.b=["x", "y"]'"""),
        ('"a/b".c~=x', "/a~1b/c~0", ARRAY, """'"a/b".c~=["x"]'"""),
        ("rates=0.1,0.2", "/rates/0", ARRAY, ""),
        ("rates=0.1,0.2", "/rates", "must be number; is string", ""),
        ("rates=0.1", "/rates", "must be array; is number", ""),
    ],
)
def test_a_text_that_was_meant_to_be_a_list_is_written_as_one(assignment, pointer, description, hint):
    error = ConfigurationInvalidError("1", violations=[Violation(f"instance.configuration_json{pointer}", description)])
    with pytest.raises(ConfigurationInvalidError) as caught, assigned.explained(["first=1", assignment]):
        raise error
    (said,) = caught.value.violations
    assert said.description == description + (f"; a list is JSON: --set {hint}" if hint else "")
