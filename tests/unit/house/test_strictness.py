"""A test that is skipped or expected to fail fails the whole session."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("def test_a(): pass", 0),
        ("def test_a(): pass\n@pytest.mark.skip\ndef test_b(): pass", 1),
        ("def test_a(): pytest.skip('no database')", 1),
        ("@pytest.mark.xfail\ndef test_a(): assert False", 1),
    ],
)
def test_a_session_that_skipped_something_has_failed(tmp_path: Path, body: str, status: int) -> None:
    (tmp_path / "conftest.py").write_text((ROOT / "conftest.py").read_text())
    (tmp_path / "test_it.py").write_text(f"import pytest\n{body}\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:randomly",
        "-p",
        "no:asyncio",
        "--rootdir",
        str(tmp_path),
        ".",
    ]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True).returncode == status
