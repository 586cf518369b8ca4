"""Topics of Kafka: a source that reads what was committed, and a sink that commits by epochs."""
