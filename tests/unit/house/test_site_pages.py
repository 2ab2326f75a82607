"""The pages that are made from the sources say what the sources say."""

import re

import pytest
from athanor.cli import exits
from athanor.v1 import run_service_pb2

from tests.support.pages import ROOT
from tools.site import cli, contract, python


@pytest.fixture(scope="module")
def contracts() -> dict[str, str]:
    return contract.pages()


def test_every_call_of_the_contract_is_there_with_its_comment(contracts: dict[str, str]) -> None:
    page = contracts["reference/contract.md"]
    for method in run_service_pb2.DESCRIPTOR.services_by_name["RunService"].methods:
        assert re.search(rf"^\| `{method.name}` \|.+\| {method.name} \w+.+ \|$", page, re.MULTILINE), method.name


def test_an_enum_inside_of_a_message_a_map_and_a_oneof(contracts: dict[str, str]) -> None:
    page = contracts["reference/contract.md"]
    assert "## Failure.Kind { #failure-kind }" in page
    assert "map of `string` to `string`" in page
    assert "One of `" in page
    assert "ERROR_REASON_STORAGE_UNAVAILABLE" in page


def test_no_link_of_the_contract_leads_nowhere(contracts: dict[str, str]) -> None:
    anchors = {path.rpartition("/")[2]: set(re.findall(r"\{ #([\w-]+) \}", text)) for path, text in contracts.items()}
    for text in contracts.values():
        for target, anchor in re.findall(r"\]\(((?:runner-)?contract\.md)#([\w-]+)\)", text):
            assert anchor in anchors[target]


def test_every_exit_status_is_in_the_table() -> None:
    page = cli.command_line()
    statuses = {value for name, value in vars(exits).items() if name.isupper() and isinstance(value, int)}
    assert statuses == {int(status) for status in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)}


def test_commands_have_their_help_and_options() -> None:
    section = cli.command_line().partition("## athanor runs cancel\n")[2].partition("\n## ")[0]
    assert "athanor runs cancel RUN [OPTIONS]" in section
    assert "`--reason`" in section


def test_a_page_of_a_package_has_all_that_it_exports() -> None:
    pages = python.pages()
    assert "::: athanor.experiment.RunContext\n" in pages["reference/python/athanor.experiment.md"]
    assert "::: athanor.client.Run\n" in pages["reference/python/athanor.client.md"]


def test_every_page_that_is_made_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text()
    for path in ["reference/command-line.md", *contract.pages(), *python.pages()]:
        assert f"- {path}\n" in navigation
