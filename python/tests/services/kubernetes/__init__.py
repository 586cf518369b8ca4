"""A control plane of Kubernetes, built from its Go modules; see `fixtures`."""
