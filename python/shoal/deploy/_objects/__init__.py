"""Objects of Kubernetes: what is asked for, rendered, written; no cluster is spoken to."""
