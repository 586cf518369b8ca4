"""Packages -> a running server, in this process.

The server is native: it listens on its own threads, speaks the Open Inference Protocol v2 over
HTTP and gRPC, gathers what arrives into micro-batches, and needs no interpreter: packages whose
runtime is `python` run in worker processes. Rules of this
room: starting a server installs no signal handler; any number of servers may run in one process,
started from any thread; closing one answers everything it has accepted. Serving
imports no pyarrow, pandas, numpy or onnxruntime module, and no code of a package.
"""

from shoal.serve._keys import Key, new_key
from shoal.serve._options import Options
from shoal.serve._repository import Repository
from shoal.serve._server import Server, start

__all__ = ["Key", "Options", "Repository", "Server", "new_key", "start"]
