"""What can go wrong in the agent. Refusals are the tenant's or the caller's to mend, faults the operator's."""

from hostel.wire.errors import HostelError, Reason, Refusal
from hostel.wire.website import Failure


class RunFailed(Refusal):
    """A run ended, or never became ready; `failure` says why in the API's words."""

    code = "run_failed"

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.detail)
        self.failure = failure


class SandboxFault(HostelError):
    """The platform could not build or start a sandbox."""

    code = "sandbox_fault"

    def as_failure(self) -> Failure:
        return Failure(
            reason=Reason.SANDBOX_FAILED,
            detail="The platform could not start this website. Its operator finds the cause in the agent's log.",
        )


class GateFailed(HostelError):
    """A protection that all tenants rely on was tried and does not hold."""

    code = "gate_failed"


class InstallationFull(HostelError):
    """This installation has given out its last uid."""

    code = "installation_full"
