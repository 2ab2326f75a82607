"""Libraries that not everybody wants: each is an extra, imported where it is used, and named when it is missing."""

from importlib import import_module
from typing import Any

from athanor.client.errors import MissingExtraError

# The library as it is imported, and the extra of the distribution `athanor` that brings it.
EXTRAS = {
    "pandas": "pandas",
    "numpy": "pandas",
    "polars": "polars",
    "pyarrow": "parquet",
    "matplotlib": "plot",
    "IPython": "notebook",
}


def load(module: str) -> Any:
    """Import `module` of one of those libraries and return it.

    Raises MissingExtraError when the library is not installed. One that is installed and broken fails as it does by
    itself: installing the extra would not help.
    """
    library = module.partition(".")[0]
    try:
        import_module(library)
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != library:
            raise
        raise MissingExtraError(library, EXTRAS[library]) from None
