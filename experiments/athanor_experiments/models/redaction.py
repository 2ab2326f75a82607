"""Takes a key out of what a server says: some repeat it in an error, and a model that was told it may write it down."""

import base64
import re
from collections.abc import Iterator

from pydantic import SecretStr

HIDDEN = "[API key]"

FEWEST_SECRET_CHARACTERS = 12
"""What is shorter is no secret but a placeholder, as servers of one's own want it; it may be a word of an answer."""


class Redaction:
    """Puts HIDDEN in the place of a key, also where it is written in another way than it is.

    That is each of its characters behind a backslash, or as URLs, JSON, programs and HTML escape it, more than once if
    need be; and the key, or more with the key in it, as base64.
    """

    def __init__(self, key: SecretStr | None) -> None:
        secret = "" if key is None else key.get_secret_value()
        self._forms = re.compile("|".join(_forms(secret))) if len(secret) >= FEWEST_SECRET_CHARACTERS else None

    def __call__(self, text: str) -> str:
        """The text without the key."""
        return text if self._forms is None else self._forms.sub(HIDDEN, text)


def _forms(key: str) -> Iterator[str]:
    yield "".join(map(_escaped, key))
    for before in range(3):  # bytes in front of it: a group of base64 has three
        encoded = base64.b64encode(b"\0" * before + key.encode()).decode()
        # Without the characters that depend on what stands before and behind it too.
        own = encoded[(0, 2, 3)[before] : (before + len(key)) * 8 // 6]
        yield re.escape(own).replace(r"\+", "[+-]").replace("/", "[/_]")  # the one of URLs has other signs for two


def _escaped(character: str) -> str:
    """A pattern of a character, and of what is written in its place."""
    code = ord(character)
    # Each bounded, so that no text takes longer than its length.
    return (
        rf"(?:\\{{0,8}}{re.escape(character)}|(?i:%(?:25){{0,4}}{code:02x}|\\{{1,8}}u00{code:02x}"
        rf"|\\{{1,8}}x{code:02x}|&#0{{0,8}}{code};|&#x0{{0,8}}{code:x};))"
    )
