"""What a package has to be, before anything of it is loaded: signed by a key, and free of code.

Everything that is served comes through here: what a server starts with, and what it loads later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from shoal import package

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from os import PathLike

    from shoal.package import Package, PublicKey
    from shoal.runtime import Environment, Payload


@dataclass(frozen=True)
class Trust:
    """What is asked of packages.

    Attributes:
        allow_code: Whether they may run code of their own.
        key: The key that must have signed them, or None.
    """

    allow_code: bool
    key: PublicKey | None

    @classmethod
    def read(cls, *, allow_code: bool, key: str | PathLike[str] | None) -> Self:
        """Reads the key, once: what is served later is held against the same one.

        Raises:
            PathError: there is no such file.
            ConfigurationError: it holds no public key that can be used.
        """
        return cls(allow_code, None if key is None else package.read_public_key(key))

    def payload(self, opened: Package, environment: Environment) -> AbstractContextManager[Payload]:
        """What the native server takes for the package.

        Raises:
            UntrustedPackageError: the key has not signed it, or it runs code that is not allowed.
            PackageError: it cannot be run here.
        """
        if self.key is not None:
            package.verify_signature(opened, self.key)
        return opened.payload(allow_code=self.allow_code, environment=environment)
