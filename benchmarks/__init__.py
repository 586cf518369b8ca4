"""Benchmarks: one folder per question; `python benchmarks/run.py NAME` runs one."""
