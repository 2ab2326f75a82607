"""What mkdocs calls while it builds the site: adds the pages that are made, and mends links that lead out of docs/.

Pages link to files of the repository, which is right where the repository is shown. On the site such a link becomes a
link to `repo_url` when there is one, else plain text: the file's name.
"""

import os
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tools.site import cli, contract, python  # noqa: E402

LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!\w+://|#)([^)#\s]+)(#[^)]*)?\)")


def made() -> dict[str, str]:
    """Return every page that is made, by its path under docs/."""
    return {"reference/command-line.md": cli.command_line(), **contract.pages(), **python.pages()}


def on_files(files: Files, config: Any) -> Files:
    """Add them."""
    for path, text in made().items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Mend the links."""
    folder = os.path.dirname(f"docs/{page.file.src_uri}")

    def mend(link: re.Match[str]) -> str:
        path = os.path.normpath(os.path.join(folder, link[2]))
        if path.startswith("docs/") and not (ROOT / path).is_dir():
            return link[0]
        if config.repo_url:
            return f"[{link[1]}]({config.repo_url.rstrip('/')}/blob/HEAD/{path})"
        return link[1]

    return LINK.sub(mend, markdown)
