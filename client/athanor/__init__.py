"""Athanor: experiments as code, run anywhere, recorded for good."""
