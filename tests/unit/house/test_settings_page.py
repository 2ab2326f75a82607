"""The page of settings has every variable that is read, and every flag of the services."""

import re
import subprocess
import sys

import pytest

from tests.support.pages import ROOT

PAGE = (ROOT / "docs" / "reference" / "settings.md").read_text()
# Of runs, runners and templates among themselves, and one for tests: nobody sets them.
INTERNAL = {
    "ATHANOR_DOORBELL_FD",
    "ATHANOR_HEARTBEAT_INTERVAL",
    "ATHANOR_LEASE_ID",
    "ATHANOR_RUNNER_PID",
    "ATHANOR_TEMPLATE",
}


def test_every_variable_is_on_the_page() -> None:
    read = {
        name
        for folder in ("client/athanor", "services")
        for source in (ROOT / folder).rglob("*.py")
        for name in re.findall(r"\bATHANOR_[A-Z_]*[A-Z]\b", source.read_text())
    }
    assert {name for name in read if not name.endswith("_RUNNER")} - INTERNAL == set(
        re.findall(r"`(ATHANOR_[A-Z_]+)`", PAGE)
    )


@pytest.mark.parametrize("service", ["orchestrator", "runner"])
def test_every_flag_of_the_services_is_on_the_page(service: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"athanor_{service}", "--help"], capture_output=True, text=True, check=True
    )
    flags = set(re.findall(r"^  (?:-h, )?(--[a-z-]+)", done.stdout, re.MULTILINE)) - {"--help"}
    assert flags == set(re.findall(rf"\| {service} `(--[a-z-]+)", PAGE))
