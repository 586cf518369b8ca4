"""Worker processes: a function found by name, records sent as Arrow, answers received."""
