"""The pictures of the documentation show what the tools show today: they are taken again and compared, word by word."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tools import pictures

LIVE = {scene.name for scene in pictures.TERMINALS if scene.look_after_s is not None} | {
    scene.name for scene in pictures.CELLS
}


@pytest.mark.timeout(200)
def test_the_pictures_are_not_older_than_what_they_show(tmp_path: Path) -> None:
    fresh = pictures.take(tmp_path)
    stale = {
        name: sorted(words(name, picture) ^ words(name, (pictures.PICTURES / f"{name}.svg").read_text()))
        for name, picture in fresh.items()
    }
    assert {name: differing for name, differing in stale.items() if differing} == {}, "run `make pictures`"


def words(name: str, picture: str) -> set[str]:
    """What is the same whenever it is taken: words, without ids and numbers; of what is live the headings alone."""
    text = " ".join(ElementTree.fromstring(picture).itertext()).replace("\xa0", " ")
    text = re.sub(r"\b[0-9a-f]{8}-[0-9a-f-]*", "", text)
    return set(re.findall(r"\b[A-Z]{4,}\b" if name in LIVE else r"\b[A-Za-z]{4,}\b", text))
