"""Write an experiment: `experiment`, `RunContext`, and what its calls can raise."""
