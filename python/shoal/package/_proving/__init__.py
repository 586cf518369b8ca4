"""What a model is proved on before it is sealed: its original, law 1, and golden rows."""
