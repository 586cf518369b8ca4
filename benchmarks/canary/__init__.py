"""What a canary looks like: one that is promoted, and one that is taken back.

Both run on a real control plane (etcd, API server, controllers; the nodes are played), judged by a
real Prometheus. The requests are simulated: 1,000 a second, shared out by the weights of the route
as the cluster has it; each version counts them as a server does. The second version takes ten times
as long once it has half of all requests.
"""

from benchmarks.canary._command import main

__all__ = ["main"]
