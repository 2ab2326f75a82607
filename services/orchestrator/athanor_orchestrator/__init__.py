"""Athanor's orchestrator: owns persistence and the catalogue of experiments, and gives runs to runners."""

__version__ = "0.1.0"
