"""Check what no linter checks: requirements are pinned and hashed, and no tracked file names a package index.

    python tools/check_files.py         exit 1 and name every fault

Which index a package comes from is the business of the machine that installs it; the hashes say what it must be.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# An option that names an index, or the address of a file to install.
ADDRESS_OPTION = re.compile(r"--(extra-)?index-url\b|--find-links\b|--trusted-host\b|\b(PIP|UV)_(EXTRA_)?INDEX_URL\b")
ADDRESS_HOST = re.compile(
    r"\b(pypi\.org|pythonhosted\.org|registry\.npmjs\.org|proxy\.golang\.org)\b|\b(file|https?)://\S+\.(whl|tar\.gz|zip)\b"
)

# These speak of the options in order to keep the addresses out.
EXEMPT = ("tools/check_files.py", "tests/unit/house/test_files.py")
ALLOWED = ("--no-emit-index-url", "--no-emit-find-links")


def main() -> int:
    """Print every fault; the number of them decides the exit status."""
    faults = [*requirement_faults(ROOT / "requirements"), *address_faults(ROOT, tracked_files(ROOT))]
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


def tracked_files(root: Path) -> list[Path]:
    """Every file that git tracks and that exists, relative to `root`."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=root, check=True, capture_output=True, text=True).stdout
    return [Path(name) for name in names.split("\0") if name and (root / name).is_file()]


def requirement_faults(folder: Path) -> Iterator[str]:
    """Entries of the compiled requirements that are not `name==version` with at least one hash."""
    for path in sorted(folder.glob("*.txt")):
        # A logical line is one requirement: pip continues it with a backslash.
        for entry in path.read_text().replace("\\\n", " ").splitlines():
            text = entry.split("#")[0].strip()
            if text and not (re.match(r"[A-Za-z0-9._\[\],-]+==\S+", text) and "--hash=sha256:" in text):
                yield f"{path.name}: not pinned with a hash: {text}"


def address_faults(root: Path, paths: list[Path]) -> Iterator[str]:
    """Lines of text files that name a package index or the address of a package."""
    for path in paths:
        if str(path) in EXEMPT:
            continue
        try:
            lines = (root / path).read_text().splitlines()
        except UnicodeDecodeError:
            continue

        for number, line in enumerate(lines, 1):
            rest = line
            for option in ALLOWED:
                rest = rest.replace(option, "")
            if ADDRESS_OPTION.search(rest) or ADDRESS_HOST.search(rest):
                yield f"{path}:{number}: names where packages come from: {line.strip()}"


if __name__ == "__main__":
    sys.exit(main())
