"""`python -m athanor.experiment.describe [--path FOLDER]... [--output-fd N]`: what there is, as one JSON document.

A module may end this process, or hang. `--current FILE` then tells which one it was, and `--skip MODULE` leaves it out.

    {"format": 1,
     "experiments": [{"name", "title", "description", "configuration_schema_json", "default_configuration_json",
                      "module", "search_path",
                      "code": {"digest", "module", "distribution", "git_commit", "git_dirty"},
                      "default_policy": {"timeout_s", "cancel_grace_period_s", "max_attempts", "retry_backoff_s",
                                         "lost_after_s"}}],
     "errors": [{"module", "error"}],
     "watch": [files whose change means describing again]}

A policy of null was not said. What the modules print while they are imported goes to standard error.
"""

import argparse
import json
import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

from athanor.experiment import configuration, discovery, jsontext, loading, provenance
from athanor.experiment.assignment import Code
from athanor.experiment.discovery import Discovery, Found

FORMAT = 1


def main(arguments: Sequence[str] | None = None) -> None:
    """Describe by the command line."""
    parser = argparse.ArgumentParser(prog="python -m athanor.experiment.describe")
    parser.add_argument("--path", action="append", default=[], type=Path, metavar="FOLDER")
    parser.add_argument("--output-fd", default=1, type=int, metavar="N")
    parser.add_argument("--current", type=Path, metavar="FILE")
    parser.add_argument("--skip", action="append", default=[], metavar="MODULE")
    parsed = parser.parse_args(arguments)

    # The document's descriptor is kept from the modules, and what they print from the document.
    output = os.dup(parsed.output_fd)
    os.dup2(2, 1)
    entering: Callable[[str], Any] = (lambda _: None) if parsed.current is None else parsed.current.write_text
    document = describe([path.resolve() for path in parsed.path], parsed.skip, entering)
    with os.fdopen(output, "w", encoding="utf-8") as file:
        json.dump(document, file)


def describe(
    folders: Sequence[Path], skipped: Collection[str] = (), entering: Callable[[str], Any] = lambda _: None
) -> dict[str, Any]:
    """Find and describe all experiments. Imports their modules into this process; see `discovery.discover`."""
    discovery.forget_bytecode()
    loading.prepare_search_path([str(folder) for folder in folders])
    found = discovery.discover(folders, skipped, entering)
    describer = _Describer(found)
    experiments: list[dict[str, Any]] = []
    for one in found.experiments.values():
        entering(one.definition.module)  # its model is the author's code, too
        entry = describer.describe(one)
        if entry is not None:
            experiments.append(entry)
    entering("")
    return {
        "format": FORMAT,
        "experiments": experiments,
        "errors": [{"module": module, "error": error} for module, error in found.errors],
        "watch": discovery.watched_files(found, describer.sources),
    }


class _Describer:
    """Describes one experiment after the other, and asks git once for each package."""

    def __init__(self, found: Discovery) -> None:
        self.sources: list[Path] = []
        self._found = found
        self._versions: dict[tuple[Path, ...], tuple[str, str, bool]] = {}

    def describe(self, found: Found) -> dict[str, Any] | None:
        """Answer the entry of one; None, and an error in its place, when its model cannot be described."""
        definition = found.definition
        try:
            schema = configuration.schema_text(definition.config_type)
            defaults = jsontext.encode(configuration.defaults(definition.config_type), "default configuration")
        except Exception as error:  # noqa: BLE001 - the author's model may do anything
            self._found.errors.append((found.module, loading.own_traceback(error)))
            return None
        return {
            "name": definition.name,
            "title": definition.title,
            "description": definition.description,
            "configuration_schema_json": schema,
            "default_configuration_json": defaults.decode(),
            "module": found.module,
            "search_path": list(found.search_path),
            "code": asdict(self._code(found)),
            "default_policy": {
                "timeout_s": _seconds(definition.timeout),
                "cancel_grace_period_s": _seconds(definition.cancel_grace_period),
                "max_attempts": definition.max_attempts,
                "retry_backoff_s": _seconds(definition.retry_backoff),
                "lost_after_s": _seconds(definition.lost_after),
            },
        }

    def _code(self, found: Found) -> Code:
        files = tuple(provenance.source_files(found.definition.module))
        if files not in self._versions:
            self.sources += files
            self._versions[files] = (provenance.digest(list(files)), *provenance.git_version(list(files)))
        digest, commit, dirty = self._versions[files]
        return Code(digest, found.module, found.distribution, commit, dirty)


def _seconds(value: timedelta | None) -> float | None:
    return None if value is None else value.total_seconds()


if __name__ == "__main__":
    main()
    os._exit(0)  # a thread that a module has started does not keep this process
