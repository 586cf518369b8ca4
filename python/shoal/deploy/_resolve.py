"""What a tag stands for now: the one question to a registry before anything is rendered."""

from __future__ import annotations

from shoal.deploy._objects._settings._references import SCHEME


def resolve_reference(text: str, *, plain_http: bool | None = None) -> str:
    """A reference with the digest that the registry has under its tag now.

    Args:
        text: `[oci://]HOST[:PORT]/NAME:TAG`; one that names a digest is given back.
        plain_http: Whether HTTP is spoken without TLS; None does so with this machine only.

    Raises:
        RegistryError: the registry cannot be asked, or has no such tag.
        InvalidRequestError: it is no reference.
    """
    if "@" in text:
        return text
    from shoal.package import resolve

    found = resolve(f"{SCHEME}{text.removeprefix(SCHEME)}", plain_http=plain_http)
    return f"{text}@{found.digest}"
