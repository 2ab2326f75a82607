"""Example experiments, packaged as a stranger would package theirs."""
