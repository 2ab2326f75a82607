"""The pages that are made from the sources say what the sources say."""

import re

import athanor.client
import athanor.experiment
import griffe
import pytest
from athanor.cli import exits
from athanor.v1 import run_service_pb2

from tests.support.pages import ROOT
from tools.site import cli, contract, fields, python


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
    page = python.pages()["reference/python/athanor.experiment.md"]
    assert [name for name in athanor.experiment.__all__ if f"::: athanor.experiment.{name}\n" not in page] == []


def test_each_name_that_the_client_exports_is_on_one_page() -> None:
    pages = python.pages()
    awaited = pages.pop("reference/python/athanor.client-async.md")
    for name in athanor.client.__all__:
        if name.startswith("Async"):
            assert f"## {name}\n" in awaited
        else:
            assert sum(text.count(f"::: athanor.client.{name}\n") for text in pages.values()) == 1, name


def test_of_the_client_that_awaits_there_are_the_signatures() -> None:
    page = python.pages()["reference/python/athanor.client-async.md"]
    assert "    async def drain(self, *, timeout: float | None=None) -> Self\n" in page
    assert "(athanor.client-runners.md#athanor.client.Runner)" in page
    assert "_client" not in page


def test_fields_are_told_with_the_comments_beside_them() -> None:
    source = """
class Record:
    '''A record.'''

    size: int | None = None  # in bytes; <0 | -1: unknown
    name: str
    _private: int = 1  # for nobody
    place: str = "# here"
    '''Has a docstring of its own.'''
"""
    with griffe.temporary_visited_module(source, extensions=griffe.load_extensions(fields.FieldTables)) as module:
        record = module["Record"]
    assert record.docstring is not None
    assert record.docstring.value.splitlines() == [
        "A record.",
        "",
        "| | | |",
        "| --- | --- | --- |",
        "| `size` | `int | None` | in bytes; &lt;0 \\| -1: unknown |",
        "| `name` | `str` |  |",
    ]


def test_arguments_are_a_list_however_they_run_on() -> None:
    said = "Do.\n\nArgs:\n    a: the first, of\n        many: or few. b: so. None\n    for c: no.\n\nRaises b: never."
    assert fields.with_list(said, ["a", "b", "c"]) == (
        "Do.\n\nArguments:\n\n- `a`: the first, of many: or few.\n- `b`: so. None for c: no.\n\nRaises b: never."
    )
    assert fields.with_list("Do. a: no.", ["a"]) == "Do. a: no."
    with pytest.raises(ValueError, match="begin with no argument"):
        fields.with_list("Do.\n\nArgs:\n    the first. a: so.", ["a"])


def test_options_have_the_environment_variables_that_their_help_has() -> None:
    page = cli.command_line()
    for option, variable in (
        ("--listen", "ATHANOR_LISTEN"),
        ("--data", "ATHANOR_DATA"),
        ("--target", "ATHANOR_TARGET"),
        ("--debug", "ATHANOR_DEBUG"),
    ):
        assert re.search(rf"^\| `{option}`[^|]*\|.*{variable}", page, re.MULTILINE), option
    assert re.search(r"^\| `--listen`.*default: 127\.0\.0\.1:7400", page, re.MULTILINE)


def test_every_page_that_is_made_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text()
    for path in ["reference/command-line.md", *contract.pages(), *python.pages()]:
        assert f"- {path}\n" in navigation
