"""A module that cannot be imported: reported as such, and no obstacle to the others."""

import there_is_no_such_module  # noqa: F401
