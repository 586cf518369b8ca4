"""The models that learn in micro-batches, and how what their shards give is merged."""
