"""Programs of the house: what `just` runs beside ruff, mypy, cargo and pytest."""
