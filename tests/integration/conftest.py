"""Fixtures of the tests that drive a real runner."""

from tests.support.runner_stage import orchestrator, start

__all__ = ["orchestrator", "start"]
