"""Names of objects and namespaces.

- A deployment's name begins the names of its Services, which are DNS labels of at most 63
  characters that begin with a letter (RFC 1035, section 2.3.1); so it is shorter than they are.
- A namespace is a DNS label (RFC 1123, section 2.1); a secret's name is labels with dots between.

Source: Kubernetes documentation, "Object Names and IDs".
"""

from __future__ import annotations

import re

from shoal.errors import ConfigurationError

LABEL_LIMIT = 63
# What is put behind the name: by us, by KServe, and (in front of it) by KEDA.
SUFFIXES = ("-headless", "-canary", "-predictor", "-keda-hpa")
NAME_LIMIT = LABEL_LIMIT - max(len(suffix) for suffix in SUFFIXES)
# KServe puts `isvc.NAME-predictor` into a label, and Kubernetes the name of a Job.
KSERVE_NAME_LIMIT = NAME_LIMIT - len("isvc.")
JOB_NAME_LIMIT = LABEL_LIMIT - len("-0123456789")

_SUBDOMAIN_LIMIT = 253
_SERVICE = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


def check_name(name: str, limit: int = NAME_LIMIT, longest: str = "NAME-predictor") -> None:
    """Refuses a name that a deployment, or what is named after it, cannot have.

    Args:
        name: The name.
        limit: How long it may be.
        longest: What is named after it and sets the limit.

    Raises:
        ConfigurationError: naming the value and the rule.
    """
    if not _SERVICE.fullmatch(name):
        message = f"name is {name!r}, expected small letters, digits and -, a letter first"
        raise ConfigurationError(message, hint="For example: digits-mlp.")
    if taken := [suffix for suffix in SUFFIXES if name.endswith(suffix)]:
        message = f"name {name!r} ends in {taken[0]}, as what belongs to another name does"
        raise ConfigurationError(message, hint="Choose a name that ends otherwise.")
    if len(name) > limit:
        message = f"name {name!r} has {len(name)} characters, expected at most {limit}"
        hint = f"What is named after it, such as {longest}, may have {LABEL_LIMIT}."
        raise ConfigurationError(message, hint=hint)


def check_namespace(namespace: str, field: str = "namespace") -> None:
    """Refuses what no namespace is called.

    Raises:
        ConfigurationError: naming the value and the rule.
    """
    if not namespace:
        message = f"no {field} is given"
        hint = "Name one with --namespace, or `namespace` in the file; `default` is one, too."
        raise ConfigurationError(message, hint=hint)
    if len(namespace) > LABEL_LIMIT or not _LABEL.fullmatch(namespace):
        message = f"{field} is {namespace!r}, expected a DNS label of at most {LABEL_LIMIT}"
        hint = "Small letters, digits and - between them: models, team-a."
        raise ConfigurationError(message, hint=hint)


def check_object_name(name: str, field: str) -> None:
    """Refuses what no object that is referred to can be called.

    Raises:
        ConfigurationError: naming the field, the value and the rule.
    """
    if len(name) > _SUBDOMAIN_LIMIT or not all(map(_LABEL.fullmatch, name.split("."))):
        message = f"{field} is {name!r}, expected the name of an object"
        hint = "Small letters and digits, with - or . between them."
        raise ConfigurationError(message, hint=hint)


def check_host(host: str, field: str) -> None:
    """Refuses what is no name of a host; the first label may be `*`.

    Raises:
        ConfigurationError: naming the field, the value and the rule.
    """
    check_object_name(host.removeprefix("*."), field)
