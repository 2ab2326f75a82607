"""`athanor new`: a folder with an experiment that runs, its test, and what to do with them."""

import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from athanor.cli import exits, options, output, session

_TEMPLATES = "templates/experiment"
_SUFFIX = ".template"
_NAME = "my_experiment"  # in the templates; the name of the distribution has dashes
_ATHANOR = "@ATHANOR@"  # in a template: what `pip install` is told so that it finds Athanor
_WHAT = {
    "{}.py": "the experiment: change this",
    "test_{}.py": "its tests",
    "README.md": "how to run, compare and test it",
    "pyproject.toml": "what it needs, and how it is found once installed",
}
# Discovery passes modules of these names over.
_TESTS = ("test", "tests", "testing", "conftest", "setup")


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the folder, the module and the experiment.")],
    json: options.Json = False,
) -> None:
    """Make a folder NAME with an experiment that runs as it is, its test, a README and a pyproject.toml.

    Nothing that exists is written over.

    \b
    For example:
      athanor new measure_pi
    """
    if problem := name_problem(name) or _taken(name):
        raise typer.BadParameter(problem, param_hint="NAME")
    folder = Path(name).absolute()
    if os.path.lexists(folder):
        raise typer.BadParameter(f"{folder} exists already; nothing was changed", param_hint="NAME")
    files = contents(name, _athanor())
    try:
        write(folder, files)
    except OSError as error:
        session.fail(f"cannot make {folder}: {error.strerror or error}; nothing was made", exits.FAILED)
    if json:
        output.document({"folder": str(folder), "files": sorted(files)})
        return
    output.line(f"made {name}/")
    output.fields([(f"  {file.format(name)}", what) for file, what in _WHAT.items()])
    output.line("\nRun it:")
    output.fields(
        [
            (f"  cd {name}", "in two terminals"),
            ("  athanor up --path .", "in one: until Ctrl-C"),
            (f"  athanor run {name}", "in the other"),
        ]
    )


def name_problem(name: str) -> str:
    """Say why nothing can be called that; empty when it can. It becomes a module, which discovery has to find."""
    import keyword

    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        better = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_").lstrip("0123456789_")
        hint = f"; how about {better}?" if better and not name_problem(better) else ""
        return f"{name!r} is no name of a module: small letters, digits and underscores, a letter first{hint}"
    if keyword.iskeyword(name) or name in sys.stdlib_module_names:
        return f"{name!r} means something in Python already: choose another name"
    if name in _TESTS or name.startswith("test_") or name.endswith("_test"):
        return f"modules called {name!r} are taken for tests, so it would not be found: choose another name"
    return ""


def contents(name: str, athanor: str) -> dict[str, str]:
    """Return the files by their names; `athanor` is what `pip install` is told so that it finds Athanor."""
    from importlib.resources import files

    found = dict[str, str]()
    for template in files("athanor.cli").joinpath(_TEMPLATES).iterdir():
        file = template.name.removesuffix(_SUFFIX).replace(_NAME, name)
        # One pass, so that what was put in is not looked at again.
        instead = {
            _NAME: name,
            _NAME.replace("_", "-"): name.replace("_", "-").rstrip("-"),
            _NAME.replace("_", " ").capitalize(): name.replace("_", " ").strip().capitalize(),
            _ATHANOR: athanor,
        }
        text = re.sub("|".join(instead), lambda match, by=instead: by[match[0]], template.read_text(encoding="utf-8"))
        found[f".{file}" if file == "gitignore" else file] = text
    return found


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Make the folder with these files, all of them or nothing. Raises OSError."""
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    partial.mkdir()
    try:
        for name, text in files.items():
            (partial / name).write_text(text, encoding="utf-8")
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def requirement(direct_url: str | None) -> str:
    """Return what `pip install` is told so that it finds Athanor: nothing where an index has it.

    `direct_url` is the text of the file in which pip writes down where else it was installed from (PEP 610).
    """
    import json
    import shlex
    from urllib.parse import unquote, urlsplit

    if not direct_url:
        return ""
    origin = json.loads(direct_url)
    url = str(origin["url"])
    if "vcs_info" in origin:
        info, within = origin["vcs_info"], origin.get("subdirectory")
        source = f"{info['vcs']}+{url}@{info['commit_id']}" + (f"#subdirectory={within}" if within else "")
        return shlex.quote(f"athanor @ {source}") + " "
    if url.startswith("file:"):
        editable = "-e " if origin.get("dir_info", {}).get("editable") else ""
        return f"{editable}{shlex.quote(unquote(urlsplit(url).path))} "
    return shlex.quote(f"athanor @ {url}") + " "


def _athanor() -> str:
    from importlib.metadata import distribution

    return requirement(distribution("athanor").read_text("direct_url.json"))


def _taken(name: str) -> str:
    """Say what is called that in this environment already; empty when nothing is."""
    from importlib.metadata import entry_points
    from importlib.util import find_spec

    if any(entry.name == name for entry in entry_points(group="athanor.experiments")):
        return f"there is an experiment {name!r} already: choose another name"
    if find_spec(name) is not None and not Path(name).exists():
        return f"there is an installed module {name!r} already, which would hide it: choose another name"
    return ""
