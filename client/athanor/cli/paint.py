"""Colours for lines, many thousands a second: the sequences themselves, because rich takes too long over each line.

NO_COLOR turns colours off (https://no-color.org), FORCE_COLOR turns them on in a pipe too (https://force-color.org).
"""

import os
import sys
from typing import TextIO

_CODES = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
}
# What turns the direction of a text around is among them: `exe.jpg` may look like `gpj.exe`
# (https://www.unicode.org/reports/tr9/).
_TURNS = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code not in (9, 10)} | {
    code: f"\\u{code:04x}" for code in _TURNS
}


def wanted(stream: TextIO | None = None) -> bool:
    """Whether what is written to `stream`, else to standard output, is to be coloured."""
    if os.environ.get("NO_COLOR"):
        return False
    terminal = (stream or sys.stdout).isatty() and os.environ.get("TERM") != "dumb"
    return bool(os.environ.get("FORCE_COLOR")) or terminal


def painted(text: str, style: str) -> str:
    """`text` in a style of `_CODES`; with an empty one as it is."""
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if style else text


def visible(text: str) -> str:
    """Return `text` with control characters written out, so that what a run printed cannot drive the terminal."""
    return text if text.isprintable() else text.translate(_CONTROL)
