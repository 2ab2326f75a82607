"""Finding experiments: in folders, and in what is installed. One that cannot be loaded hides no other."""

import importlib
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from types import ModuleType

from athanor.experiment.definition import Definition, definition_of
from athanor.experiment.loading import own_traceback

ENTRY_POINT_GROUP = "athanor.experiments"

_TEST_NAMES = frozenset({"test", "tests", "testing", "conftest", "setup"})


@dataclass(frozen=True, slots=True)
class Found:
    """One experiment and where it is."""

    definition: Definition
    module: str  # `package.module:attribute`
    search_path: tuple[str, ...] = ()
    distribution: str = ""


@dataclass(slots=True)
class Discovery:
    """What was found, and what could not be loaded."""

    experiments: dict[str, Found] = field(default_factory=dict[str, Found])  # by name
    errors: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])  # module and what is wrong
    files: set[Path] = field(default_factory=set[Path])  # what was looked at in folders

    def add(self, found: Found) -> None:
        """Take one in, unless its name is taken."""
        other = self.experiments.setdefault(found.definition.name, found)
        if other.definition is not found.definition:
            self.errors.append(
                (
                    found.module,
                    f"experiment {found.definition.name!r} is declared in {other.module} and in {found.module}; "
                    f"{other.module} is used",
                )
            )


def discover(
    folders: Sequence[Path], skipped: Collection[str] = (), entering: Callable[[str], None] = lambda _: None
) -> Discovery:
    """Find everything: first what is under the folders, which must be in the search path, then what is installed.

    Args: the folders; names of modules that are not to be imported, nor what is in them; what to call with the name of
    each module before it is imported.
    """
    discovery = Discovery()
    search_path = tuple(str(folder) for folder in folders)
    for folder in folders:
        for name, path in sorted(_modules(folder)):
            discovery.files.add(path)
            if _is_skipped(name, skipped):
                continue
            entering(name)
            module = _import(name, discovery)
            if module is None:
                continue
            if _is_another(module, path):
                hidden = f"{path} is hidden by the module {name!r} from {getattr(module, '__file__', None)}; rename it"
                discovery.errors.append((name, hidden))
                continue
            for attribute, definition in _definitions(module):
                if definition.module == name:
                    discovery.add(Found(definition, f"{name}:{attribute}", search_path))
    for entry in sorted(metadata.entry_points(group=ENTRY_POINT_GROUP), key=lambda entry: (entry.value, entry.name)):
        if not _is_skipped(entry.module, skipped):
            entering(entry.module)
            _add_installed(entry, discovery)
    return discovery


def _modules(folder: Path, package: str = "") -> Iterator[tuple[str, Path]]:
    """Name every module under a folder, those of packages included, but for hidden ones and tests."""
    for path in folder.iterdir() if folder.is_dir() else ():
        name = path.stem if path.suffix == ".py" else path.name
        if not name.isidentifier() or name.startswith(("_", "test_")) or name.endswith("_test") or name in _TEST_NAMES:
            continue
        full = f"{package}{name}"
        if path.suffix == ".py" and path.is_file():
            yield full, path
        elif (path / "__init__.py").is_file():
            yield full, path / "__init__.py"
            yield from _modules(path, f"{full}.")


def _is_skipped(name: str, skipped: Collection[str]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in skipped)


def _import(name: str, discovery: Discovery) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except BaseException as error:  # noqa: BLE001 - a module may raise anything, SystemExit included
        discovery.errors.append((name, own_traceback(error)))
        return None


def _is_another(module: ModuleType, path: Path) -> bool:
    file = getattr(module, "__file__", None)
    return file is None or not Path(file).samefile(path)


def _definitions(module: ModuleType) -> Iterator[tuple[str, Definition]]:
    """The experiments among a module's names, each once."""
    seen: set[int] = set()
    for attribute, value in list(vars(module).items()):
        definition = definition_of(value)
        if definition is not None and id(definition) not in seen:
            seen.add(id(definition))
            yield attribute, definition


def _add_installed(entry: metadata.EntryPoint, discovery: Discovery) -> None:
    distribution = "" if entry.dist is None else f"{entry.dist.name}=={entry.dist.version}"
    if entry.attr:
        try:
            definition = definition_of(entry.load())
        except BaseException as error:  # noqa: BLE001 - as above
            discovery.errors.append((entry.value, own_traceback(error)))
            return
        if definition is None:
            discovery.errors.append((entry.value, f"entry point {entry.name!r}: {entry.value} is no experiment"))
        else:
            discovery.add(Found(definition, f"{entry.module}:{entry.attr}", (), distribution))
        return
    module = _import(entry.module, discovery)
    if module is None:
        return
    for attribute, definition in _definitions(module):
        # What a package's module takes over from the package itself is meant to be found; what is from elsewhere is
        # not.
        if definition.module == entry.module or definition.module.startswith(f"{entry.module}."):
            discovery.add(Found(definition, f"{entry.module}:{attribute}", (), distribution))


def watched_files(discovery: Discovery, sources: Sequence[Path]) -> list[str]:
    """The files whose change means looking again: all that was looked at, and what experiments are made of."""
    return sorted({str(path) for path in (*discovery.files, *sources) if path.suffix == ".py"})


def forget_bytecode() -> None:
    """Leave no bytecode beside an author's files: that would change their folders, and looking again is for changes."""
    sys.dont_write_bytecode = True
