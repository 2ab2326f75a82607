"""Which experiments this runner can execute. A child process describes them: user code never runs in the runner."""

import asyncio
import contextlib
import json
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from athanor.experiment.assignment import Code

from athanor_runner.complaints import Complaints
from athanor_runner.ending import describe_exit
from athanor_runner.ports import Command, Disk, Processes, ProcessId
from athanor_runner.process import LEASE_MARKER
from athanor_runner.settings import Settings

log = logging.getLogger(__name__)

FORMAT = 1
LOOKS_AFTER_FAILURE = 20  # at the files, before they are described again although none has changed
ENVIRONMENT_MODULE = "<environment>"  # stands for a module where the fault is not one module's

# Files of the describing process.
DOCUMENT = "document.json"  # what it found
CURRENT = "module"  # name of the module that it is at


class EnvironmentBroken(Exception):
    """The interpreter that is to execute experiments cannot do it. The text says why, and what to do."""


@dataclass(frozen=True)
class DefaultPolicy:
    """How the author wants runs executed; None is not said. Durations in seconds."""

    timeout_s: float | None = None
    cancel_grace_period_s: float | None = None
    max_attempts: int | None = None
    retry_backoff_s: float | None = None
    lost_after_s: float | None = None


@dataclass(frozen=True)
class Definition:
    """One experiment, as its environment describes it."""

    name: str
    title: str
    description: str
    configuration_schema_json: str
    default_configuration_json: str
    module: str
    search_path: tuple[str, ...]
    code: Code
    policy: DefaultPolicy


@dataclass(frozen=True)
class Description:
    """Everything that one look at the environment has shown."""

    definitions: Mapping[str, Definition] = field(default_factory=dict[str, Definition])
    errors: Mapping[str, str] = field(default_factory=dict[str, str])  # by module
    watch: tuple[Path, ...] = ()  # files whose change means looking again


@dataclass(frozen=True)
class Change:
    """What differs between two descriptions."""

    definitions: tuple[Definition, ...]  # new or changed
    gone: tuple[str, ...]  # names
    errors: tuple[tuple[str, str], ...]  # new or changed: module and error; an empty error: it is gone


def parse(text: str | bytes) -> Description:
    """Reads the document that `athanor.experiment.describe` writes. Raises ValueError."""
    document: Any = json.loads(text)
    if not isinstance(document, dict) or document.get("format") != FORMAT:  # pyright: ignore[reportUnknownMemberType]
        raise ValueError(f"not a description of format {FORMAT}")
    content: dict[str, Any] = {**document}
    try:
        definitions = [_definition(entry) for entry in content["experiments"]]
        errors = {str(entry["module"]): str(entry["error"]) for entry in content["errors"]}
        watch = tuple(Path(str(path)) for path in content["watch"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a description of format {FORMAT}: {error!r}") from error
    return Description({entry.name: entry for entry in definitions}, errors, watch)


def difference(before: Description, after: Description) -> Change:
    """What has to be told to somebody who knows `before`."""
    return Change(
        definitions=tuple(entry for name, entry in after.definitions.items() if before.definitions.get(name) != entry),
        gone=tuple(name for name in before.definitions if name not in after.definitions),
        errors=(
            *((module, error) for module, error in after.errors.items() if before.errors.get(module) != error),
            *((module, "") for module in before.errors if module not in after.errors),
        ),
    )


def fingerprint(files: Iterable[Path], roots: Iterable[Path]) -> dict[str, object]:
    """What shows that files changed, and that Python files came or went beside them or in a root."""
    seen: dict[str, object] = {}
    folders = set(roots)
    for file in files:
        folders.add(file.parent)
        with contextlib.suppress(OSError):
            status = file.stat()
            seen[str(file)] = (status.st_mtime_ns, status.st_size, status.st_ino)
    for folder in folders:
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            seen[f"{folder}/"] = frozenset(_mark(entry) for entry in entries if _may_be_code(entry))
    return seen


class Catalogue:
    """Keeps the description of the environment up to date."""

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        marker: str,
        environment: Mapping[str, str],
        processes: Processes,
        disk: Disk,
    ) -> None:
        self.current: Description | None = None  # None: not known yet
        self._complaints = Complaints()
        self._settings = settings
        self._folder = folder
        self._marker = marker  # marks describing processes, so that one which outlived a crash is found
        self._environment = environment
        self._processes = processes
        self._disk = disk
        self._changed = asyncio.Event()

    def find(self, experiment: str) -> Definition | None:
        """The definition of this name, or None."""
        return self.current.definitions.get(experiment) if self.current is not None else None

    async def wait_changed(self, known: Description | None) -> Description:
        """Waits for a description that is not `known`."""
        while self.current is None or self.current is known:
            self._changed.clear()
            await self._changed.wait()
        return self.current

    async def run(self) -> None:
        """Describes, and again whenever files change. Raises EnvironmentBroken when that cannot be done at all."""
        await self._end_leftovers()
        roots = self._settings.paths
        seen = await self._disk.run(fingerprint, (), roots)
        while True:
            try:
                found = await self._describe()
            except EnvironmentBroken as error:
                if self.current is None:
                    raise
                if self._complaints.due("environment"):
                    log.error("the experiments are as they were: %s", error)
                found = self._with_error(str(error))
            except OSError as error:
                if self._complaints.due("disk"):
                    log.error("the experiments cannot be described now: %s", error)
                found = self._with_error(str(error))
            if self.current != found:
                self._publish(found)

            # What is watched for the first time is taken as it is now, the rest as it was before it was read.
            now = await self._disk.run(fingerprint, found.watch, roots)
            seen = {**now, **{name: mark for name, mark in seen.items() if name in now}}
            now = seen
            # What kept them from being described, a full disk for example, may go without a file being changed.
            looks = LOOKS_AFTER_FAILURE if ENVIRONMENT_MODULE in found.errors else -1
            while now == seen and looks != 0:
                await asyncio.sleep(self._settings.timings.watch)
                now = await self._disk.run(fingerprint, found.watch, roots)
                looks -= 1
            seen = now

    def _publish(self, found: Description) -> None:
        for module, error in found.errors.items():
            if self.current is None or self.current.errors.get(module) != error:
                log.warning("%s cannot be loaded:\n%s", module, error.rstrip())
        names = ", ".join(sorted(found.definitions)) or "none"
        log.info("experiments: %s", names)
        self.current = found
        self._changed.set()

    def _with_error(self, error: str) -> Description:
        known = self.current or Description()
        return Description(known.definitions, {**known.errors, ENVIRONMENT_MODULE: error}, known.watch)

    async def _describe(self) -> Description:
        """Describes. A module that ends the describing process, or hangs, is told and left out of another try."""
        fatal: dict[str, str] = {}
        while True:
            status = await self._try_to_describe(fatal)
            said = await self._disk.run(_tail, self._folder / "stderr")
            with contextlib.suppress(OSError, ValueError):
                found = parse(await self._disk.run((self._folder / DOCUMENT).read_bytes))
                return Description(found.definitions, {**found.errors, **fatal}, found.watch)

            limit = f"over {self._settings.timings.describe:g} s"
            module = await self._disk.run(_tail, self._folder / CURRENT)
            if module and module not in fatal:
                how = f"took {limit}" if status is None else f"ended the process with {describe_exit(status)}"
                fatal[module] = f"loading it {how}:\n{said}"
                continue
            if status is None:
                raise EnvironmentBroken(f"describing the experiments took {limit}:\n{said}")
            if status != 0 and ("No module named 'athanor'" in said or "No module named athanor" in said):
                python = self._settings.python
                raise EnvironmentBroken(
                    f"{python} has no package `athanor`: install it there, or name another one by --python"
                )
            return self._with_error(
                f"describing the experiments ended with {describe_exit(status)} and no description:\n{said}"
            )

    async def _try_to_describe(self, left_out: Iterable[str]) -> int | None:
        """Has a process describe the experiments; its exit status, None when it took too long."""
        folder = self._folder
        await self._disk.run(_clear, folder)
        arguments = [self._settings.python, "-P", "-m", "athanor.experiment.describe"]
        arguments += ["--current", str(folder / CURRENT)]
        for path in self._settings.paths:
            arguments += ["--path", str(path)]
        for module in left_out:
            arguments += ["--skip", module]
        environment = {**self._environment, LEASE_MARKER: self._marker}
        command = Command(tuple(arguments), environment, folder / DOCUMENT, folder / "stderr")
        try:
            child = self._processes.start(command)
        except OSError as error:
            raise EnvironmentBroken(f"{self._settings.python} cannot be started: {error.strerror}") from None

        try:
            async with asyncio.timeout(self._settings.timings.describe):
                return await child.wait()
        except TimeoutError:
            return None
        finally:
            await self._end(child.id)
            child.release()

    async def _end(self, main: ProcessId | None) -> None:
        while left := await self._disk.run(self._processes.living, self._marker, main, main is not None):
            for process in left:
                self._processes.signal(process, 9)
            await asyncio.sleep(self._settings.timings.stop_poll)

    async def _end_leftovers(self) -> None:
        await self._end(None)


def _definition(entry: Mapping[str, Any]) -> Definition:
    return Definition(
        name=entry["name"],
        title=entry["title"],
        description=entry["description"],
        configuration_schema_json=entry["configuration_schema_json"],
        default_configuration_json=entry["default_configuration_json"],
        module=entry["module"],
        search_path=tuple(entry["search_path"]),
        code=Code(**entry["code"]),
        policy=DefaultPolicy(**entry["default_policy"]),
    )


def _may_be_code(entry: "os.DirEntry[str]") -> bool:
    if entry.name.endswith(".py"):
        return True
    return entry.is_dir() and entry.name.isidentifier() and not entry.name.startswith("__")


def _mark(entry: "os.DirEntry[str]") -> tuple[str, int]:
    # A folder's own time changes with whatever is written into it, an experiment's output too.
    if entry.is_dir():
        return entry.name, int(os.path.exists(os.path.join(entry.path, "__init__.py")))
    return entry.name, entry.stat().st_mtime_ns


def _clear(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for name in (DOCUMENT, CURRENT, "stderr"):
        (folder / name).unlink(missing_ok=True)


def _tail(path: Path, size: int = 4000) -> str:
    try:
        with open(path, "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - size))
            return file.read().decode("utf-8", "replace").strip()
    except OSError:
        return ""
