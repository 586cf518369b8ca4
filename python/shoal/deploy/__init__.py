"""From a package to replicas behind a service: images, objects of Kubernetes, rollouts.

- Importing this room loads nothing heavy.
"""
