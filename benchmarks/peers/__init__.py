"""The same work done by Athanor and by others, measured in the same way: `python -m benchmarks.peers`."""
