"""Who is who before an API server: one authority, certificates of servers and users, kubeconfigs.

- The common name of a certificate is the user, its organisation a group.

Source: kubernetes.io/docs/reference/access-authn-authz/authentication (X.509 client certificates).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import trustme

if TYPE_CHECKING:
    from pathlib import Path

MASTERS = "system:masters"


class Authority:
    """Signs keys, and writes them as files of a folder."""

    def __init__(self, directory: Path, server: str) -> None:
        """The address of the API server is what kubeconfigs name."""
        self._directory, self._server = directory, server
        self._authority = trustme.CA()
        self._authority.cert_pem.write_to_path(directory / "ca.crt")

    def certify(self, name: str, *addresses: str, group: str | None = None) -> None:
        """Writes NAME.key and NAME.crt, for addresses if it is a server's."""
        # Go refuses a certificate whose list of addresses is there and empty.
        certificate = self._authority.issue_cert(
            *(addresses or ("user.test",)), common_name=name, organization_name=group
        )
        certificate.private_key_pem.write_to_path(self._directory / f"{name}.key")
        certificate.cert_chain_pems[0].write_to_path(self._directory / f"{name}.crt")

    def kubeconfig(self, user: str, group: str | None = None) -> Path:
        """The file of a user, who may do what roles of the cluster grant, and no more."""
        self.certify(user, group=group)
        path = self._directory / f"{user}.kubeconfig"
        cluster = {"server": self._server, "certificate-authority": "ca.crt"}
        keys = {"client-certificate": f"{user}.crt", "client-key": f"{user}.key"}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": user, "user": keys}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
        }
        path.write_text(json.dumps(content), encoding="utf-8")
        return path
