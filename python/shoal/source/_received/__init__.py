"""Sources of what nobody can send again: it is stored first, and read from there."""
