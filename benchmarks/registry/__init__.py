"""How long does pulling a large package take, beside skopeo?

A package of 500 MB is pushed to Debian's docker-registry on this machine. It is pulled by `shoal
package pull` and by `skopeo copy --preserve-digests docker://... oci:...`, each a process of its
own, in turns; who begins changes from round to round. Both check every digest, both leave the files
flushed to disk in an OCI image layout of their own, and both have to end with the same digest of
the manifest. What earlier turns wrote is on the disk before the clock starts. Shoal's time includes
the start of Python and the checks of an opened package.
"""

from benchmarks.registry._command import main

__all__ = ["main"]
