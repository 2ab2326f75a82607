"""Take the pictures of the documentation, of the real tools at work: `make pictures`.

`python -m tools.pictures NAME` takes one. A system is started in a temporary folder, an experiment that `athanor new`
makes is run, and then each scene is taken: a command in a terminal of its own, drawn as it stands there; a value as a
notebook shows it; or what stands below a cell of a real kernel while it goes on. A new picture is a new line of
TERMINALS, NOTEBOOKS, CELLS or FIGURES. The pictures are committed, in docs/pictures.
"""

import fcntl
import io
import os
import pty
import re
import select
import shlex
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape, unescape
from itertools import groupby
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import athanor
import pyte
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from tests.support.kernel import Kernel
from tests.support.system import BIN, System

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "pictures"
EXPERIMENT = "measure_pi"
TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Terminal:
    """A command as a terminal shows it; RUN is the newest run."""

    name: str
    command: str
    columns: int = 100
    rows: int = 40  # a live view sees this height; empty lines at the end are cut off
    look_after_s: float | None = None  # of what goes on: take it then and leave by Ctrl-C
    until: str = ""  # not before this stands there: a busy machine may need longer
    meanwhile: str | None = None  # a command that is given before


@dataclass(frozen=True)
class Notebook:
    """The value of a cell, as a notebook shows it; `client` is there, `runs`, the newest first, and `run`."""

    name: str
    code: str
    height: int  # pixels of what is shown below the code
    width: int = 860


@dataclass(frozen=True)
class LiveCell:
    """A cell that goes on, in a kernel: what stands below it then. `run` is there, and has just been started."""

    name: str
    code: str
    height: int
    look_after_s: float
    width: int = 860


TERMINALS = [
    Terminal("runs-list", "athanor runs list"),
    Terminal("compare", f"athanor compare --experiment {EXPERIMENT} --result error"),
    Terminal("run", f"athanor run {EXPERIMENT} --set rounds=200 --seed 7", rows=18, look_after_s=4.0, until="RUNNING"),
    Terminal(
        "top",
        "athanor top",
        rows=24,
        look_after_s=4.0,
        until="RUNNER",
        meanwhile=f"athanor run {EXPERIMENT} --set rounds=2000 --repeat 3 --detach",
    ),
]
NOTEBOOKS = [
    Notebook("notebook-run", "run", 64),
    Notebook("notebook-results", "run.results()", 92),
    Notebook("notebook-comparison", "client.runs.compare(runs)", 230, width=1080),
]
CELLS = [LiveCell("notebook-live", "run.live()", 475, look_after_s=4.0)]
FIGURES = {"notebook-plot": 'client.runs.compare(runs).plot("error.mean")'}

# What every scene finds: repeats of two configurations, as README has them made.
PREPARATION = [
    f'athanor run {EXPERIMENT} --name "at random" --repeat 3 --seed 1',
    f'athanor run {EXPERIMENT} --set method=grid --name "spread evenly" --repeat 3 --seed 1',
]

LIVE_RUN = f"athanor run {EXPERIMENT} --set rounds=500 --name 'at random' --seed 7 --detach"

NAMES = ("black", "red", "green", "brown", "blue", "magenta", "cyan", "white")  # as pyte calls them; `brown` is yellow
THEME = TerminalTheme(
    (24, 26, 33),
    (222, 226, 235),
    [
        (60, 64, 75),
        (240, 113, 120),
        (135, 200, 120),
        (229, 192, 110),
        (105, 170, 245),
        (200, 140, 235),
        (95, 200, 205),
        (222, 226, 235),
    ],
)
# Rich's own format loads a font from the network.
SVG = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: ui-monospace, Menlo, monospace; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def main(*names: str) -> None:
    """Take all pictures, or those that are named."""
    with tempfile.TemporaryDirectory(prefix="athanor-pictures-") as folder:
        for name, picture in take(Path(folder), names).items():
            (PICTURES / f"{name}.svg").write_text(picture)
            print(f"docs/pictures/{name}.svg", flush=True)


def take(folder: Path, names: tuple[str, ...] = ()) -> dict[str, str]:
    """Return the pictures by their names; everything happens in `folder`."""
    subprocess.run([BIN / "athanor", "new", EXPERIMENT], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    with System(folder / "system", paths=[folder / EXPERIMENT]) as system:
        system.start_orchestrator()
        system.start_runner("workstation", "--slots", "2")
        system.wait_for_experiment(EXPERIMENT)
        for command in PREPARATION:
            system.cli(*shlex.split(command)[1:])
        pictures: dict[str, str] = {}
        with athanor.connect(system.target) as client:
            runs = client.runs.list(experiment=EXPERIMENT).all()
            things: dict[str, Any] = {"client": client, "runs": runs, "run": runs[0]}
            for scene in NOTEBOOKS:
                if not names or scene.name in names:
                    pictures[scene.name] = notebook_picture(scene, things)
            for name, code in FIGURES.items():
                if not names or name in names:
                    pictures[name] = figure_picture(code, things)
        for scene in TERMINALS:
            if not names or scene.name in names:
                pictures[scene.name] = terminal_picture(scene, system)
        for scene in CELLS:
            if not names or scene.name in names:
                pictures[scene.name] = cell_picture(scene, system, folder)
    return pictures


def terminal_picture(scene: Terminal, system: System) -> str:
    """Run the command in a terminal and draw what stands there."""
    command = scene.command
    if "RUN" in command:
        command = command.replace("RUN", system.cli_json("runs", "list")["runs"][0]["id"][:13])
    if scene.meanwhile:
        system.cli(*shlex.split(scene.meanwhile)[1:])
    environment = system.env | {
        "ATHANOR_TARGET": system.target,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        "COLUMNS": str(scene.columns),  # who calls this may have said how wide its own terminal is
        "LINES": str(scene.rows),
    }
    screen = show(shlex.split(command), environment, scene)
    if scene.look_after_s is not None:
        end_runs(system)
    return draw(screen, title=f"$ {command}", name=scene.name)


def end_runs(system: System) -> None:
    """Cancel what goes on, so that the next scene has the machine to itself."""
    for run in system.cli_json("runs", "list")["runs"]:
        if run["state"] in ("PENDING", "RUNNING"):
            system.cli("runs", "cancel", run["id"], "--wait")


def show(command: list[str], environment: Mapping[str, str], scene: Terminal) -> pyte.Screen:
    """Return the terminal once the command has ended, or when it was looked at for long enough."""
    screen = pyte.Screen(scene.columns, scene.rows)
    stream = pyte.ByteStream(screen)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", scene.rows, scene.columns, 0, 0))
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
    )
    os.close(theirs)
    begun = time.monotonic()
    try:
        while True:
            now = time.monotonic()
            looked = scene.look_after_s is not None and now > begun + scene.look_after_s
            if looked and scene.until in "\n".join(screen.display):
                return screen
            if now > begun + TIMEOUT_S:
                shown = "\n".join(screen.display).rstrip()
                raise RuntimeError(f"{shlex.join(command)} did not end, or show {scene.until!r}:\n{shown}")
            if select.select([ours], [], [], 0.1)[0]:
                try:
                    data = os.read(ours, 65536)
                except OSError:  # how a terminal says that the last process has left it
                    data = b""
                if not data:
                    return screen
                stream.feed(data)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)
        os.close(ours)


def draw(screen: pyte.Screen, *, title: str, name: str) -> str:
    """Return the terminal as SVG, without the empty lines at its end."""
    lines = [line_of(screen, row) for row in range(screen.lines)]
    while lines and not lines[-1].plain.strip():
        lines.pop()
    console = Console(record=True, width=screen.columns, file=io.StringIO(), color_system="truecolor")
    for line in lines:
        console.print(line, no_wrap=True, crop=True, soft_wrap=True)
    return console.export_svg(title=title, theme=THEME, code_format=SVG, unique_id=f"picture-{name}")


def line_of(screen: pyte.Screen, row: int) -> Text:
    """Return one line with its colours, what stands beside each other in one style in one piece."""
    cells = [screen.buffer[row][column] for column in range(screen.columns)]
    text = Text(end="")
    for style, same in groupby(cells, key=style_of):
        text.append("".join(cell.data for cell in same), style)
    text.rstrip()
    return text


def style_of(cell: Any) -> Style:
    """Return how a character is drawn."""
    return Style(
        color=color(cell.fg),
        bgcolor=color(cell.bg),
        bold=cell.bold,
        italic=cell.italics,
        underline=cell.underscore,
        reverse=cell.reverse,
    )


def color(name: str) -> str | None:
    """Return how rich calls the colour that pyte calls so."""
    if name == "default":
        return None
    bright = name.startswith("bright")
    plain = name.removeprefix("bright")
    if plain in NAMES:
        return f"{'bright_' if bright else ''}{'yellow' if plain == 'brown' else plain}"
    return f"#{name}"


def notebook_picture(scene: Notebook, things: Mapping[str, Any]) -> str:
    """Evaluate the cell and draw the code with what a notebook shows below it."""
    return cell_drawn(scene, eval(scene.code, dict(things))._repr_html_())


def cell_picture(scene: LiveCell, system: System, folder: Path) -> str:
    """Start a run, execute the cell, and draw what stands below it after a while."""
    system.cli(*shlex.split(LIVE_RUN)[1:])
    with Kernel(folder, system.env) as kernel:
        kernel.run(f"import athanor; client = athanor.connect({system.target!r}); run = client.runs.list().first()")
        cell = kernel.start(scene.code)
        begun = time.monotonic()
        cell.wait(lambda: time.monotonic() > begun + scene.look_after_s)
        shown = cell.shown[0]["text/html"]
        kernel.interrupt()
    end_runs(system)
    return cell_drawn(scene, shown)


def cell_drawn(scene: Notebook | LiveCell, html: str) -> str:
    """Return the code with the HTML below it, as SVG."""
    shown = well_formed(html)
    height = scene.height + 70
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {scene.width} {height}" width="{scene.width}">
<title>{escape(scene.code)}</title>
<rect width="{scene.width}" height="{height}" rx="8" fill="#ffffff" stroke="#d0d7de"/>
<foreignObject x="16" y="12" width="{scene.width - 32}" height="{height - 24}">
<div xmlns="http://www.w3.org/1999/xhtml" style="font-family: system-ui, sans-serif; font-size: 13px; color: #1f2328">
<pre style="background: #f6f8fa; border: 1px solid #d0d7de; border-radius: 4px; padding: 8px; margin: 0 0 10px"
>{escape(scene.code)}</pre>
{shown}
</div>
</foreignObject>
</svg>
"""


def figure_picture(code: str, things: Mapping[str, Any]) -> str:
    """Evaluate the cell and return the figure that it gives."""
    file = io.StringIO()
    eval(code, dict(things)).savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()


def well_formed(html: str) -> str:
    """Return the HTML as XML, which SVG is: it is written so that only names of characters stand in the way."""
    text = "".join(
        part if part in ("&amp;", "&lt;", "&gt;", "&quot;") else unescape(part) for part in re.split(r"(&\w+;)", html)
    )
    ElementTree.fromstring(f"<div>{text}</div>")
    return text


if __name__ == "__main__":
    main(*sys.argv[1:])
