"""Envelopes and answers as bytes: JSON, Arrow and protobuf, three encodings of one thing."""
