"""The errors of packages, pipelines, registries and clusters; drawn in `shoal.errors._tree`."""

from __future__ import annotations

from shoal.errors._tree import ShoalError


class PackageError(ShoalError):
    """A package cannot be built, opened or used."""

    code = "invalid_package"


class CorruptPackageError(PackageError):
    """A package's content is not what its digests or its description say."""

    code = "corrupt_package"


class UntrustedPackageError(PackageError):
    """The package runs code, and running code was not allowed."""

    code = "untrusted_package"


class SignatureError(UntrustedPackageError):
    """The package is not signed, or not by the key asked for, or is not what was signed."""

    code = "signature_refused"


class UnsupportedModelError(PackageError):
    """This model cannot be sealed; the message says why."""

    code = "unsupported_model"


class RouterCycleError(PackageError):
    """A router leads to itself, or through more routers than are followed."""

    code = "router_cycle"


class RequirementError(PackageError):
    """Something the package or the command requires is not installed here."""

    code = "unmet_requirement"


class ProofError(PackageError):
    """The exported model does not answer as the trained one does."""

    code = "export_mismatch"


class BatchDependenceError(PackageError):
    """The answer for a record changes with the records beside it."""

    code = "batch_dependent"


class StorageError(PackageError):
    """The package could not be written; nothing half-written is left."""

    code = "storage_failed"


class PipelineError(ShoalError):
    """A run over a dataset or a stream cannot go on."""

    code = "pipeline_failed"


class SourceError(PipelineError):
    """Records could not be read where they come from."""

    code = "source_failed"


class SinkError(PipelineError):
    """Records could not be written where they go; what was committed before stays."""

    code = "sink_failed"


class ConflictError(PipelineError):
    """The output holds what another run wrote, or another run is writing to it."""

    code = "output_conflict"


class RegistryError(ShoalError):
    """A registry of packages and images did not do what was asked."""

    code = "registry_failed"


class RegistryAccessError(RegistryError):
    """The registry wants other credentials, or grants these less."""

    code = "registry_access_denied"


class RegistryNotFoundError(RegistryError):
    """The registry has no such repository, tag or digest."""

    code = "not_in_registry"


class RegistryUnavailableError(RegistryError):
    """The registry cannot be reached, is too slow, or breaks off."""

    code = "registry_unavailable"
    retryable = True


class DeployError(ShoalError):
    """What was asked of a cluster or an image cannot be done."""

    code = "deploy_failed"


class ClusterAccessError(DeployError):
    """The cluster does not let this user do that."""

    code = "cluster_access_denied"


class ClusterConflictError(DeployError):
    """Someone else owns what would be changed in the cluster."""

    code = "cluster_conflict"


class ClusterLacksError(DeployError):
    """The cluster lacks something that this needs: a kind of object, a namespace, a version."""

    code = "cluster_lacks"


class ClusterUnavailableError(DeployError):
    """The cluster cannot be reached."""

    code = "cluster_unavailable"
    retryable = True


class RolloutError(DeployError):
    """A new version did not come up, or was judged worse; the old one serves on."""

    code = "rollout_failed"
