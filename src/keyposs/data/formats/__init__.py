"""The files of the datasets: how each format is read."""
