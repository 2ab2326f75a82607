"""Load as runners make it: live runs that record at a steady rate, from one process that costs little itself."""
