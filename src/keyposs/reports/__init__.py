"""The parts of a report, each a section or what sections share; `python -m keyposs.report` puts them together."""
