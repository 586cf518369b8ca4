"""Images without a daemon: an OCI image layout written by hand, over a base named by its digest.

- Layers, from the bottom: those of the base; the libraries that serving needs, from wheels whose
  hashes a lock states; the libraries of a Python package, the same way; Shoal itself; the package's
  own layers, which are blobs of the package.
- The same inputs give the same digest, on every machine and at every time.
- Nothing of the base, of a wheel or of the package is run.

Source: OCI image specification 1.1; docs/decisions/0021-an-image-is-layers-over-a-base.md.
"""
