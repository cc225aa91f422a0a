"""What can be wrong with a dataset, each found by a function of its own; `python -m keyposs.check` runs them all."""
