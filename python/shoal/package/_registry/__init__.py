"""Packages and images in OCI registries: sent, fetched, and what refers to them.

- `_reference` reads names; `_repository` is what the distribution specification offers, one method
  each; `_wire` is the HTTP below it, `_authorization` and `_credentials` who asks.
- `_push`, `_pull` move packages, `_layouts` any image; `_referrers` lists and attaches what refers
  to a manifest.

Source: OCI distribution specification 1.1.
"""
