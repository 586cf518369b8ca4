"""Tables as a caller has them, and as they come back: columns with types, shapes and nulls."""
