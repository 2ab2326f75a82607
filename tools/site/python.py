"""The reference of the Python packages: a page for each, with everything that its `__all__` names, for mkdocstrings."""

from importlib import import_module

TITLES = {
    "athanor": "athanor",
    "athanor.client": "athanor.client: to call",
    "athanor.client.compare": "athanor.client.compare: to compare runs",
    "athanor.client.export": "athanor.client.export: to write files",
    "athanor.client.notebook": "athanor.client.notebook: in notebooks",
    "athanor.client.paths": "athanor.client.paths: documents by path",
    "athanor.experiment": "athanor.experiment: to write experiments",
    "athanor.experiment.testing": "athanor.experiment.testing: to test them",
}
# Of `athanor`, these are the modules that have pages of their own.
ELSEWHERE = {"client", "experiment", "__version__"}


def pages() -> dict[str, str]:
    """Return a page for each package."""
    return {path_of(module): page(module, title) for module, title in TITLES.items()}


def path_of(module: str) -> str:
    return f"reference/python/{module}.md"


def page(module: str, title: str) -> str:
    """Return the page: what the module's own docstring says, then each name, by mkdocstrings."""
    loaded = import_module(module)
    names = [name for name in getattr(loaded, "__all__", ()) if name not in ELSEWHERE]
    if not names:
        return f"# {title}\n\n::: {module}\n"
    said = f"::: {module}\n    options:\n      members: false\n"
    return f"# {title}\n\n{said}\n" + "\n".join(f"::: {module}.{name}\n" for name in names)
