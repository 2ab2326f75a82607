"""docker-compose.yml names services, scripts, settings and files that exist, and checks the health of each service."""

import re
from typing import Any

import pytest
import yaml

from tests.support.pages import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = ["orchestrator", "runner-1", "runner-2"]
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text()


def test_a_database_an_orchestrator_and_two_runners() -> None:
    assert list(SERVICES) == ["database", *OURS]
    assert SERVICES["orchestrator"]["depends_on"] == {"database": {"condition": "service_healthy"}}
    for runner in OURS[1:]:
        assert SERVICES[runner]["depends_on"] == {"orchestrator": {"condition": "service_healthy"}}


@pytest.mark.parametrize("name", OURS)
def test_what_it_runs_is_a_script_in_the_image(name: str) -> None:
    (script,) = SERVICES[name]["command"]
    assert (ROOT / "docker" / script).stat().st_mode & 0o100
    kind, *words = SERVICES[name]["healthcheck"]["test"]
    assert kind in ("CMD", "CMD-SHELL")
    checked = " ".join(words).split()
    assert checked[:2] == ["health.py", name.partition("-")[0]]
    for file in (script, "health.py"):
        assert f"docker/{file}" in DOCKERFILE


@pytest.mark.parametrize("name", OURS)
def test_it_is_given_what_its_script_needs_and_nothing_else(name: str) -> None:
    script = (ROOT / "docker" / SERVICES[name]["command"][0]).read_text()
    needed = set(re.findall(r"\$\{(\w+):\?", script))
    known = set(re.findall(r"\$\{?(\w+)", script))
    assert needed <= set(SERVICES[name]["environment"]) <= known


def test_runners_share_no_state_and_the_port_is_published_to_this_machine_only() -> None:
    states = [SERVICES[runner]["volumes"][0].partition(":") for runner in OURS[1:]]
    assert len({volume for volume, _, _ in states}) == 2
    assert {place for _, _, place in states} == {"/state"}
    assert {volume for volume, _, _ in states} < set(COMPOSE["volumes"])
    assert all(port.startswith("127.0.0.1:") for port in SERVICES["orchestrator"]["ports"])


def test_the_database_is_asked_where_the_orchestrator_asks_it() -> None:
    """By TCP: the server that the image starts for a moment, to set the database up, has the socket alone."""
    _, *words = SERVICES["database"]["healthcheck"]["test"]
    assert words[0] == "pg_isready"
    assert words[words.index("--host") + 1] == "127.0.0.1"


def test_what_runs_in_the_image_has_a_home_folder_and_begins_where_it_may_write() -> None:
    (created,) = re.findall(r"^RUN useradd .+$", DOCKERFILE, re.MULTILINE)
    assert "--create-home" in created.split()
    user, _, last = DOCKERFILE.rpartition("\nUSER athanor\n")
    assert "useradd" in user
    assert re.findall(r"^WORKDIR (.+)$", last, re.MULTILINE) == ["/home/athanor"]


def test_keys_are_given_to_the_runners_alone_by_a_file_that_is_in_no_image_and_not_committed() -> None:
    given = {name: [file["path"] for file in service.get("env_file", ())] for name, service in SERVICES.items()}
    assert given == {"database": [], "orchestrator": [], "runner-1": ["runner.env"], "runner-2": ["runner.env"]}
    for ignored in (".gitignore", ".dockerignore"):
        assert "runner.env" in (ROOT / ignored).read_text().splitlines()


def test_the_image_installs_what_is_pinned_and_nothing_else() -> None:
    installs = re.findall(r"pip install (.+?)(?:&&|$)", DOCKERFILE.replace("\\\n", " "), re.MULTILINE)
    assert len(installs) == 2
    assert all(
        "--require-hashes" in words or {"--no-deps", "--no-build-isolation"} <= {*words.split()} for words in installs
    )


def test_what_the_image_is_made_of_exists() -> None:
    copied = [words.split()[:-1] for words in re.findall(r"^COPY (.+)$", DOCKERFILE, re.MULTILINE)]
    assert copied
    assert [name for names in copied for name in names if not (ROOT / name).exists()] == []
