"""How long is it from a package to what a cluster takes?

A package of digits is made into an image over Debian, with the layers of the base and of the
libraries in the cache, and rendered for Kubernetes. Each is a command, from the start of its
process to its end, in turns; what is written is thrown away before the next one.
"""

from benchmarks.deploy._command import main

__all__ = ["main"]
