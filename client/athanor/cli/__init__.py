"""The `athanor` command."""
