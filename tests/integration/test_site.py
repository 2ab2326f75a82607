"""The site of the documentation builds without a warning, and nothing on it is fetched from elsewhere."""

import json
import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path

import pytest

from tests.support.pages import ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "")
    return folder


def test_every_page_is_on_the_site(site: Path) -> None:
    expected = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    expected -= {Path("adr/0000-template.html")}
    assert expected <= {path.relative_to(site) for path in site.rglob("*.html")}


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    """Scripts, style sheets and pictures are the site's own; only links for people lead out."""
    loaded = re.compile(
        r"""<(?:script|img|iframe|source)\b[^>]*\bsrc=["']?(?:https?:)?//|<link\b[^>]*\bhref=["']?https?://"""
    )
    loading = [str(page.relative_to(site)) for page in site.rglob("*.html") if loaded.search(page.read_text())]
    assert loading == []
    fetched = re.compile(r"@import|url\(\s*[\"']?https?://")
    assert [str(sheet) for sheet in site.rglob("*.css") if fetched.search(sheet.read_text())] == []


def test_the_search_knows_calls_commands_and_classes(site: Path) -> None:
    titles = {entry["title"] for entry in json.loads((site / "search" / "search_index.json").read_text())["docs"]}
    assert {"RunService", "athanor runs verify", "RunContext", "experiment", "AsyncRun"} <= titles


def test_the_reference_of_python_has_no_private_names_and_pages_that_can_be_read(site: Path) -> None:
    pages = sorted((site / "reference" / "python").glob("*.html"))
    assert len(pages) > 10
    for page in pages:
        article = page.read_text().partition("<article")[2].partition("</article>")[0]
        text = unescape(re.sub(r"<[^>]+>", "", article))
        assert re.findall(r"(?<!\w)_[a-z]\w+|\bBound\b|\bbind\b|\bPart\b", text) == [], page.name
        assert len(text.split()) < 4000, page.name


def test_the_context_has_what_an_experiment_needs_and_arguments_that_can_be_read(site: Path) -> None:
    page = (site / "reference" / "python" / "athanor.experiment.html").read_text()
    assert 'id="athanor.experiment.RunContext.fail"' in page
    assert 'id="athanor.experiment.RunContext.said"' not in page
    assert re.search(r"<li>\s*(?:<p>)?<code>retry_backoff</code>: how long to wait", page)
    assert "Args:" not in page


def test_a_record_has_its_fields(site: Path) -> None:
    page = (site / "reference" / "python" / "athanor.client-runs.html").read_text()
    assert "<td>set while waiting between attempts</td>" in page
