"""Text as it comes, made fit to be recorded: log text is repaired, visibly, and never refused."""

# A captured line that is longer becomes several entries; bytes.
MAX_LINE_BYTES = 64 << 10


def encode(text: str) -> bytes:
    r"""Write text as UTF-8. A NUL becomes `\x00`, a lone surrogate `\udc80` or the like, each spelled out."""
    try:
        data = text.encode()
    except UnicodeEncodeError:
        data = text.encode(errors="backslashreplace")
    return data.replace(b"\0", b"\\x00") if b"\0" in data else data


def decode(data: bytes) -> str:
    r"""Read bytes that should be UTF-8. What is not becomes `\xff` or the like, and a NUL `\x00`, spelled out."""
    return data.decode(errors="backslashreplace").replace("\0", "\\x00")


def last_shown(line: bytes) -> bytes:
    """Leave of a line what begins with the last thing written between carriage returns; those behind it stay."""
    written = line.rstrip(b"\r")
    return line[written.rfind(b"\r") + 1 :] if written else b""


def fold(line: bytes) -> bytes:
    """Leave of a line what a terminal would show in the end: the last thing written between carriage returns."""
    return last_shown(line).rstrip(b"\r") if b"\r" in line else line


def pieces(line: bytes) -> list[bytes]:
    """Cut a line into pieces of at most MAX_LINE_BYTES, between characters. An empty line is one empty piece."""
    cut: list[bytes] = []
    while len(line) > MAX_LINE_BYTES:
        end = MAX_LINE_BYTES
        while end > MAX_LINE_BYTES - 4 and line[end] & 0xC0 == 0x80:
            end -= 1
        cut.append(line[:end])
        line = line[end:]
    return [*cut, line]
