"""Sinks that hold what was written in a spool of their own process until it is committed."""
