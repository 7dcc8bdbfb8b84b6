"""How a website is: what the agent reports, laid over what its owner wants. Pure."""

from dataclasses import dataclass, field

from hostel.panel.websites.models import Website
from hostel.wire.errors import HostelError
from hostel.wire.website import Failure, Phase, State, WebsiteReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Why something does not serve: a code for programs, a sentence for people, the command's last words."""

    reason: str | None = None
    detail: str = ""
    stderr: tuple[str, ...] = ()

    @classmethod
    def of(cls, failure: Failure | None) -> "Trouble":
        if failure is None:
            return cls()
        return cls(reason=failure.reason.value, detail=failure.detail, stderr=failure.stderr)

    @classmethod
    def from_error(cls, error: HostelError) -> "Trouble":
        return cls(reason=error.code, detail=str(error))


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What a visitor meets, and how far the last change has got."""

    state: State
    trouble: Trouble = field(default_factory=Trouble)
    revision: int
    phase: Phase
    deploy_trouble: Trouble = field(default_factory=Trouble)


def condition_of(website: Website, report: WebsiteReport | None) -> Condition:
    """Where the agent does not know this revision yet, its deploy counts as starting."""
    if report is None:
        return _not_yet(website)
    deploy = report.deploy
    is_current = deploy.version.revision >= website.revision
    trouble = Trouble.of(report.failure)
    if trouble.reason is None and report.state is State.FAILED:
        trouble = Trouble.of(deploy.failure)
    return Condition(
        state=report.state,
        trouble=trouble,
        revision=website.revision,
        phase=deploy.phase if is_current else Phase.STARTING,
        deploy_trouble=Trouble.of(deploy.failure) if is_current else Trouble(),
    )


def unreported(website: Website, error: HostelError) -> Condition:
    """The agent did not answer, or refused: what was asked for stands, and why it is not done is said."""
    if error.is_retryable:
        return _not_yet(website, Trouble.from_error(error))
    trouble = Trouble.from_error(error)
    return Condition(
        state=State.FAILED, trouble=trouble, revision=website.revision, phase=Phase.FAILED, deploy_trouble=trouble
    )


def _not_yet(website: Website, trouble: Trouble | None = None) -> Condition:
    return Condition(
        state=State.STARTING if website.enabled else State.DISABLED,
        trouble=trouble or Trouble(),
        revision=website.revision,
        phase=Phase.STARTING,
    )
