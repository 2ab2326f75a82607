"""What importing the authoring side brings along, in a fresh interpreter."""

import subprocess
import sys

import pytest

FORBIDDEN = ("grpc", "google.protobuf", "sqlalchemy")


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import athanor", ("athanor.experiment", "athanor.client", *FORBIDDEN)),
        ("import athanor; athanor.experiment.RunContext", ("athanor.client", "pydantic", "asyncio", *FORBIDDEN)),
        ("import athanor.experiment.execute", ("athanor.client", "pydantic", "asyncio", *FORBIDDEN)),
        ("import athanor.experiment.template", ("athanor.client", "pydantic", "asyncio", *FORBIDDEN)),
        ("import athanor.experiment.describe", ("athanor.client", "pydantic", "asyncio", *FORBIDDEN)),
        ("import athanor.experiment.testing", ("athanor.client", "pydantic", "asyncio", *FORBIDDEN)),
    ],
)
def test_what_is_not_loaded(statement: str, absent: tuple[str, ...]) -> None:
    program = f"import sys\n{statement}\nprint([name for name in {absent!r} if name in sys.modules])"

    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    assert printed.strip() == "[]"
