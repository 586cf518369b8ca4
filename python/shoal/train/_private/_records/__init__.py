"""From records of mixed types to a private model that can be sealed."""
