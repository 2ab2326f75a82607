"""The pictures of the documentation are those of the tool that takes them, and show commands that exist."""

import ast
import re
import shlex
from xml.etree import ElementTree

import pytest

from tests.support.commandline import check_athanor
from tests.support.pages import PAGES, ROOT
from tools import pictures

BY_HAND = {"processes"}
TAKEN = [scene.name for scene in (*pictures.TERMINALS, *pictures.NOTEBOOKS, *pictures.CELLS)] + list(pictures.FIGURES)


def test_each_picture_is_there_and_on_a_page() -> None:
    assert {path.stem for path in pictures.PICTURES.glob("*")} == {*TAKEN, *BY_HAND}
    shown = {name for page in PAGES for name in re.findall(r"pictures/([\w-]+)\.svg", page.read_text())}
    assert shown == {*TAKEN, *BY_HAND}


def test_what_is_compared_is_made_by_the_commands_that_stand_before_the_picture() -> None:
    compare = next(scene.command for scene in pictures.TERMINALS if scene.name == "compare")
    before = (ROOT / "README.md").read_text().partition("pictures/compare.svg")[0]
    lines = before.rpartition("```console\n")[2].splitlines()
    assert [line for line in lines if line.startswith(("$ athanor run", "$ athanor compare"))] == [
        f"$ {command}" for command in (*pictures.PREPARATION, compare)
    ]


@pytest.mark.parametrize("scene", pictures.TERMINALS, ids=lambda scene: scene.name)
def test_the_commands_exist_and_stand_above_the_picture(scene: pictures.Terminal) -> None:
    for command in (scene.command, scene.meanwhile):
        if command:
            check_athanor(shlex.split(command)[1:])
    text = text_of(scene.name)
    assert scene.command in text


@pytest.mark.parametrize("scene", [*pictures.NOTEBOOKS, *pictures.CELLS], ids=lambda scene: scene.name)
def test_the_code_stands_above_the_picture(scene: pictures.Notebook | pictures.LiveCell) -> None:
    ast.parse(scene.code)
    text = text_of(scene.name)
    assert scene.code in text


@pytest.mark.parametrize("name", [*TAKEN, *BY_HAND])
def test_a_picture_loads_nothing_and_tells_nothing_of_the_machine(name: str) -> None:
    text = (pictures.PICTURES / f"{name}.svg").read_text()
    assert not re.search(r"(?:src|href)=[\"']https?:|url\([\"']?https?:|@import|<script", text)
    assert not re.search(r"/(?:tmp|root|home)/", text)


def text_of(name: str) -> str:
    """What can be read in the picture."""
    picture = ElementTree.parse(pictures.PICTURES / f"{name}.svg").getroot()
    return " ".join(picture.itertext()).replace("\xa0", " ")
