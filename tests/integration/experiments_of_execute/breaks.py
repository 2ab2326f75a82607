"""A module that cannot be imported."""

print("about to break")
raise LookupError("broken on purpose")
