"""By what should replicas be scaled: by how long requests wait, or by the processor?

The rules of the measurement:
- a simulator plays hours of load against replicas: each is the scheduler that serves, with the
  costs that a real server measured of two models (`profiles/`),
- the autoscaler decides as the controller of Kubernetes does, from counters scraped every 15 s,
- load shapes are made by a generator with a seed (`_shapes`), scaled to what a replica can do,
- a scaler is judged by the hours of replicas it costs and by the requests that it makes late.
"""

from benchmarks.autoscaling._command import main

__all__ = ["main"]
