"""The client that blocks: derived from `_async` by `tools/derive_sync.py`, but for `transport.py`."""
