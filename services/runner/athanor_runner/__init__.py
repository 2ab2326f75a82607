"""Athanor's runner: executes runs in processes of their own and ships what they record."""
