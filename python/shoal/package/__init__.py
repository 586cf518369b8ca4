"""A sealed model on disk or in a registry: build, open, inspect, verify, push, pull.

- A package is an OCI image layout directory; its digest is that of its image manifest and depends
  on its content only. One flipped bit in any file is refused.
- Building is atomic, and proves the model first: against the original, and against law 1.
- A router is a package, too: it has routes to models in place of a model.
- Opening, inspecting, verifying digests and checking who signed never run a package's code.
- What is pulled from a registry is checked as what is opened, and its target holds all or nothing.
- Importing this room loads nothing heavy; `build` and `verify` import what they need when called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shoal.package._attested import Attestation
from shoal.package._names import check_names
from shoal.package._package import Package, identify, open
from shoal.package._read import Identity

if TYPE_CHECKING:
    from shoal.package._build import Settings, build
    from shoal.package._data._package import DataDescription, DataPackage, keep_data, open_data
    from shoal.package._fetch import fetch
    from shoal.package._proving._golden import GoldenRows
    from shoal.package._registry._layouts import pull_layout, push_layout
    from shoal.package._registry._pull import pull
    from shoal.package._registry._push import Pushed, push
    from shoal.package._registry._reference import Resolved
    from shoal.package._registry._resolve import resolve
    from shoal.package._router import route
    from shoal.package._signing._keys import PublicKey, read_public_key
    from shoal.package._signing._pushed import sign_pushed
    from shoal.package._signing._sign import Signed, sign, verify_signature
    from shoal.package._verify import Inspection, Verification, inspect, verify

__all__ = [
    "Attestation",
    "DataDescription",
    "DataPackage",
    "GoldenRows",
    "Identity",
    "Inspection",
    "Package",
    "PublicKey",
    "Pushed",
    "Resolved",
    "Settings",
    "Signed",
    "Verification",
    "build",
    "check_names",
    "fetch",
    "identify",
    "inspect",
    "keep_data",
    "open",
    "open_data",
    "pull",
    "pull_layout",
    "push",
    "push_layout",
    "read_public_key",
    "resolve",
    "route",
    "sign",
    "sign_pushed",
    "verify",
    "verify_signature",
]

_LAZY = {
    "DataDescription": "_data._package",
    "DataPackage": "_data._package",
    "GoldenRows": "_proving._golden",
    "Inspection": "_verify",
    "PublicKey": "_signing._keys",
    "Pushed": "_registry._push",
    "Resolved": "_registry._reference",
    "Settings": "_build",
    "Signed": "_signing._sign",
    "Verification": "_verify",
    "build": "_build",
    "fetch": "_fetch",
    "inspect": "_verify",
    "keep_data": "_data._package",
    "open_data": "_data._package",
    "pull": "_registry._pull",
    "pull_layout": "_registry._layouts",
    "push": "_registry._push",
    "push_layout": "_registry._layouts",
    "read_public_key": "_signing._keys",
    "resolve": "_registry._resolve",
    "route": "_router",
    "sign": "_signing._sign",
    "sign_pushed": "_signing._pushed",
    "verify": "_verify",
    "verify_signature": "_signing._sign",
}


def __getattr__(name: str) -> Any:
    """Loads what needs numpy and pyarrow when it is first asked for."""
    from importlib import import_module

    if name not in _LAZY:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
