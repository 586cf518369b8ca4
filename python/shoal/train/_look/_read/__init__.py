"""Whatever was given, as micro-batches of one form; a seeded sample of it, and marks of records."""
