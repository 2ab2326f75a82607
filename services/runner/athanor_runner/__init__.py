"""Athanor's runner: executes runs in processes of their own and ships what they record."""

# Also in pyproject.toml; asking the installed package for it would load all that reads packages.
__version__ = "0.1.0"
