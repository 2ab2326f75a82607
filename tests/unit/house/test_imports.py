"""Dependencies point one way. The imports of every module are walked, those inside functions included."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
DISTRIBUTIONS = (
    *("client", "services/orchestrator", "services/runner", "experiments"),
    "experiments/own-package-example",
)

# What a part may import beside the standard library; the longest prefix that fits a module decides.
ALLOWED = {
    "athanor": ["athanor.v1", "athanor.experiment", "athanor.client"],
    "athanor.experiment": ["athanor.experiment", "pydantic", "pydantic_core"],
    "athanor.client": ["athanor.client", "athanor.v1", "grpc", "grpc_status", "google", "tenacity"],
    # For types alone; at run time `_extras` imports them, and says which extra is missing.
    "athanor.client.results": ["athanor.client", "pandas", "polars"],
    "athanor.client.compare": ["athanor.client", "pandas", "polars", "matplotlib"],
    "athanor.client._frames": ["athanor.client", "pandas", "polars"],
    "athanor.client._plot": ["athanor.client", "matplotlib"],
    "athanor.cli": ["athanor.cli", "athanor.client", "typer", "click", "rich", "ruamel"],
    "athanor_orchestrator": ["athanor_orchestrator", "athanor.v1", "athanor.runner", "grpc", "grpc_health", "google"],
    "athanor_orchestrator.rpc": [
        *("athanor_orchestrator.rpc", "athanor_orchestrator.engine"),
        *("athanor_orchestrator.storage", "athanor_orchestrator.domain"),
        *("athanor.v1", "athanor.runner", "google", "grpc", "grpc_status", "grpc_health", "grpc_reflection"),
    ],
    "athanor_orchestrator.engine": [
        *("athanor_orchestrator.engine", "athanor_orchestrator.storage", "athanor_orchestrator.domain"),
        *("athanor.v1", "google.protobuf", "jsonschema", "referencing"),
    ],
    "athanor_orchestrator.storage": [
        *("athanor_orchestrator.storage", "athanor_orchestrator.domain"),
        *("sqlalchemy", "alembic", "psycopg"),
    ],
    "athanor_orchestrator.domain": ["athanor_orchestrator.domain"],
    "athanor_runner": ["athanor_runner", "athanor.experiment", "athanor.v1", "athanor.runner", "grpc", "google"],
    "athanor_experiments": [
        *("athanor_experiments", "athanor.experiment", "pydantic"),
        *("numpy", "scipy", "sklearn", "httpx", "tenacity"),
    ],
    # A stranger's: what it tells others to write has to work with the public package alone.
    "coin_lab": ["coin_lab", "athanor.experiment", "pydantic"],
    "tests": ["coin_lab", "athanor.experiment", "pytest"],
}

# Written by a tool and compared with its source instead.
GENERATED = ("athanor.v1", "athanor.runner")


def test_every_module_imports_only_what_its_part_may() -> None:
    """One walk over all of it, so that one failure lists every wrong import at once."""
    modules = find_modules()
    assert len(modules) > 20

    wrong = [
        f"{module} imports {target}"
        for module, path in modules.items()
        if not within(module, GENERATED)
        for target in imports_of(module, path.read_text(), modules)
        if not permitted(module, target)
    ]
    assert wrong == []


def test_only_rpc_touches_the_grpc_stubs() -> None:
    """The engine may build messages, but what speaks gRPC stays in one folder and in the composition root."""
    modules = find_modules()
    wrong = [
        f"{module} imports {target}"
        for module, path in modules.items()
        if within(module, ["athanor_orchestrator"]) and not within(module, ["athanor_orchestrator.rpc"])
        for target in imports_of(module, path.read_text(), modules)
        if target.endswith("_pb2_grpc") and module not in ("athanor_orchestrator.server",)
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("module", "source", "refused"),
    [
        ("athanor.experiment.spool", "import grpc", "grpc"),
        ("athanor.experiment.spool", "def f():\n    from google.protobuf import message", "google.protobuf.message"),
        ("athanor_orchestrator.domain.x", "from ..storage import events", "athanor_orchestrator.storage.events"),
        ("athanor_orchestrator.engine.x", "import sqlalchemy.exc", "sqlalchemy.exc"),
        ("athanor_orchestrator.engine.x", "from athanor_orchestrator import rpc", "athanor_orchestrator.rpc"),
        ("athanor_orchestrator.rpc.x", "import athanor.experiment", "athanor.experiment"),
        ("athanor_runner.x", "from athanor_orchestrator.domain import ids", "athanor_orchestrator.domain.ids"),
        ("athanor.client.x", "from athanor.experiment import wire", "athanor.experiment.wire"),
        ("athanor.client.x", "import pandas", "pandas"),
        ("athanor.cli.x", "import athanor_runner", "athanor_runner"),
    ],
)
def test_a_wrong_import_is_noticed(module: str, source: str, refused: str) -> None:
    """The walk has to be able to fail: these are what it exists to refuse."""
    targets = list(imports_of(module, source, {}))
    assert targets == [refused]
    assert not permitted(module, refused)


@pytest.mark.parametrize(
    "statement", ["import athanor", "import athanor.experiment", "import athanor.experiment.execute"]
)
def test_the_process_of_a_run_loads_neither_grpc_nor_protobuf_nor_sqlalchemy(statement: str) -> None:
    """What an author's environment pins must not matter, and a start must not cost 100 ms of imports."""
    unwanted = ("grpc", "google.protobuf", "sqlalchemy", "typer", "rich", "tenacity")
    script = f"{statement}\nimport sys\nprint([name for name in {unwanted!r} if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"


def test_describing_experiments_with_language_models_loads_no_http_library() -> None:
    """Every runner describes them at its start; what only a run with a server needs is imported there."""
    script = (
        "import athanor_experiments.substrate_shift, athanor_experiments.judge, sys\n"
        "print([name for name in ('httpx', 'tenacity', 'numpy') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"


def find_modules() -> dict[str, Path]:
    """Every module of the distributions by its dotted name. A distribution within another counts for itself."""
    modules = {}
    for distribution in DISTRIBUTIONS:
        inner = [ROOT / other for other in DISTRIBUTIONS if other.startswith(f"{distribution}/")]
        for path in sorted((ROOT / distribution).rglob("*.py")):
            if any(path.is_relative_to(folder) for folder in inner):
                continue
            parts = path.relative_to(ROOT / distribution).with_suffix("").parts
            modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return modules


def imports_of(module: str, source: str, modules: dict[str, Path]) -> Iterator[str]:
    """The full names that the source imports; `from a import b` is `a.b`, as `b` may be a module."""
    path = modules.get(module)
    package = module if path is not None and path.name == "__init__.py" else module.rpartition(".")[0]

    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parent = package.split(".")
                parent = parent[: len(parent) - node.level + 1]
                base = ".".join([*parent, base] if base else parent)
            yield from (f"{base}.{alias.name}" for alias in node.names)


def permitted(module: str, target: str) -> bool:
    """True for the standard library and for what the module's part may import."""
    if target.split(".")[0] in sys.stdlib_module_names:
        return True
    part = max((prefix for prefix in ALLOWED if within(module, [prefix])), key=len)
    return within(target, ALLOWED[part])


def within(name: str, prefixes: list[str] | tuple[str, ...]) -> bool:
    """True when the dotted name is one of the prefixes or below one."""
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)
