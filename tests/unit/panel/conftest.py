"""The panel under Django's test client, with three people and a small real agent behind a real unix socket."""

import json
import os
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from django.conf import settings as django_settings
from django.test import Client
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from hostel.panel.accounts.guessing import logins
from hostel.panel.accounts.models import User
from hostel.panel.accounts.uses import login_uses, uses
from hostel.panel.api.throttles import requests as api_requests
from hostel.panel.audit.models import OPERATOR, Entry, act_as
from hostel.panel.wanted.models import current_version
from hostel.wire.certificate import (
    CertificateReport,
    CertificateReports,
    CertificateUnreadable,
    CertificateUpload,
    DomainCertificate,
    NoCertificate,
)
from hostel.wire.codec import parse, to_jsonable
from hostel.wire.console import ConsoleReport
from hostel.wire.errors import HostelError, Reason, UnknownTenant, UnknownWebsite, WebsiteDisabled
from hostel.wire.metrics import MetricsPoint, Period, WebsiteMetrics
from hostel.wire.names import canonical_domain
from hostel.wire.report import DiskUsage, Proof, ProofReport, ProofRequest, TenantOverview, WebsiteStatus
from hostel.wire.website import Deploy, Failure, Phase, State, TenantSpec, Tombstone, WebsiteReport, WebsiteSpec

HOST = "www.hostel.localhost:8443"
PASSWORD = "correct horse battery"
METRICS_END_S = 1_764_162_000  # 2025-11-26, 13:00 UTC


class SmallAgent:
    """Keeps what it is told in memory and calls it running. Fails in the one way that a test asks for."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.tenants: dict[str, TenantSpec] = {}
        self.websites: dict[str, WebsiteSpec] = {}
        self.deleted: list[Tombstone] = []
        self.calls: list[str] = []
        self.failure: Failure | None = None  # every deploy fails with it
        self.phase = Phase.DONE
        self.memory_bytes = 80 << 20  # that every tenant uses
        self.consoles: tuple[ConsoleReport, ...] = ()  # that every tenant has open
        self.proofs: dict[str, Proof] = {}  # by domain: what the DNS shows
        self.certificates: dict[str, CertificateReport | HostelError] = {}  # by domain: what there is, or why none
        self.refusal: HostelError | None = None  # every call is refused with it
        self.points: tuple[MetricsPoint, ...] = ()  # of every website
        self.on_put: Callable[[WebsiteSpec], None] = lambda spec: None

    def report(self, spec: WebsiteSpec) -> WebsiteReport:
        state, phase = State.RUNNING, self.phase
        if self.failure:
            state, phase = State.FAILED, Phase.FAILED
        if phase is Phase.STARTING:
            state = State.STARTING
        if not spec.enabled:
            state, phase = State.DISABLED, Phase.DONE
        deploy = Deploy(version=spec.version, phase=phase, failure=self.failure)
        return WebsiteReport(domain_name=spec.domain_name, tenant=spec.tenant, state=state, deploy=deploy)

    def find(self, canonical: str) -> WebsiteSpec:
        if canonical not in self.websites:
            raise UnknownWebsite
        return self.websites[canonical]

    async def tenant(self, request: Request) -> Any:
        name = request.path_params["name"]
        if request.method == "PUT":
            self.tenants[name] = parse(TenantSpec, await request.json())
        else:
            self.deleted.append(parse(Tombstone, await request.json()))
            self.tenants.pop(name, None)
        return {}

    async def website(self, request: Request) -> Any:
        canonical = request.path_params["canonical"]
        if request.method == "PUT":
            spec = parse(WebsiteSpec, await request.json())
            assert canonical == canonical_domain(spec.domain_name)
            if spec.tenant not in self.tenants:
                raise UnknownTenant
            self.on_put(spec)
            self.websites[canonical] = spec
        if request.method == "DELETE":
            self.deleted.append(parse(Tombstone, await request.json()))
            self.websites.pop(canonical, None)
            return {}
        return to_jsonable(self.report(self.find(canonical)))

    async def reload(self, request: Request) -> Any:
        spec = self.find(request.path_params["canonical"])
        if not spec.enabled:
            raise WebsiteDisabled
        return to_jsonable(self.report(spec))

    async def status(self, request: Request) -> Any:
        return to_jsonable(WebsiteStatus(report=self.report(self.find(request.path_params["canonical"]))))

    async def metrics(self, request: Request) -> Any:
        period, limits = Period(request.query_params["period"]), self.find(request.path_params["canonical"]).limits
        step_s, size = (60, 60) if period is Period.HOUR else (600, 144)
        first = METRICS_END_S // step_s - size
        return to_jsonable(
            WebsiteMetrics(
                period=period,
                step_s=step_s,
                from_s=first * step_s,
                until_s=(first + size) * step_s,
                memory_limit_bytes=limits.memory_bytes,
                cpu_limit_cores=limits.cpu,
                points=self.points,
            )
        )

    async def list(self, request: Request) -> Any:
        tenant = request.query_params["tenant"]
        specs = [spec for spec in self.websites.values() if spec.tenant == tenant]
        return {"websites": [to_jsonable(self.report(spec)) for spec in specs]}

    async def proof(self, request: Request) -> Any:
        asked = parse(ProofRequest, await request.json())
        return to_jsonable(ProofReport(proof=self.proofs.get(asked.domain, Proof.NONE)))

    async def certificate(self, request: Request) -> Any:
        """An order gives what a test has put there; an upload is what it says it is."""
        domain = request.path_params["domain"]
        if request.method == "PUT" and "BEGIN" not in parse(CertificateUpload, await request.json()).chain:
            raise CertificateUnreadable
        found = self.certificates.get(domain, NoCertificate())
        if request.method == "DELETE":
            self.certificates.pop(domain, None)
            return {}
        if isinstance(found, HostelError):
            raise found
        return to_jsonable(found)

    async def list_certificates(self, request: Request) -> Any:
        return to_jsonable(CertificateReports(certificates=self.known_certificates))

    @property
    def known_certificates(self) -> tuple[DomainCertificate, ...]:
        return tuple(
            DomainCertificate(domain=domain, failure=str(each))
            if isinstance(each, HostelError)
            else DomainCertificate(domain=domain, report=each)
            for domain, each in self.certificates.items()
        )

    async def overview(self, request: Request) -> Any:
        name, named = request.path_params["name"], request.query_params.getlist("domain")
        reports = {domain: self.report(spec) for domain, spec in self.websites.items() if spec.tenant == name}
        return to_jsonable(
            TenantOverview(
                states=Counter(report.state.value for report in reports.values()),
                troubled=tuple(report for report in reports.values() if report.deploy.phase is Phase.FAILED),
                websites=tuple(reports[domain] for domain in named if domain in reports),
                memory_bytes=self.memory_bytes,
                cpu_percent=12.0,
                disk=DiskUsage(used_bytes=300 << 20, files=7),
                certificates=self.known_certificates,
                consoles=self.consoles,
            )
        )

    async def list_tenants(self, request: Request) -> Any:
        disk = {"used_bytes": 300 << 20, "files": 7}
        return {"tenants": [{"name": name, "uid": 1, "home": "/", "disk": disk} for name in self.tenants]}

    def answering(self, verb: Callable[[Request], Any]) -> Callable[[Request], Any]:
        async def answer(request: Request) -> JSONResponse:
            self.calls.append(f"{request.method} {request.url.path}")
            try:
                if self.refusal:
                    raise self.refusal
                return JSONResponse(await verb(request))
            except HostelError as error:
                return JSONResponse({"code": error.code, "message": str(error)}, status_code=error.status)

        return answer

    def application(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/tenants/{name}", self.answering(self.tenant), methods=["PUT", "DELETE"]),
                Route("/tenants/{name}/overview", self.answering(self.overview)),
                Route("/websites", self.answering(self.list)),
                Route("/tenants", self.answering(self.list_tenants)),
                Route("/certificates", self.answering(self.list_certificates)),
                Route(
                    "/certificates/{domain}", self.answering(self.certificate), methods=["GET", "PUT", "POST", "DELETE"]
                ),
                Route("/proof", self.answering(self.proof), methods=["POST"]),
                Route("/websites/{canonical}", self.answering(self.website), methods=["GET", "PUT", "DELETE"]),
                Route("/websites/{canonical}/metrics", self.answering(self.metrics)),
                Route("/websites/{canonical}/status", self.answering(self.status)),
                Route("/websites/{canonical}/reload", self.answering(self.reload), methods=["POST"]),
            ]
        )


@pytest.fixture(scope="session")
def agent_socket() -> Path:
    return django_settings.HOSTEL_PATHS.agent_for_panel / "agent.sock"


@pytest.fixture(scope="session")
def small_agent(agent_socket: Path) -> Iterator[SmallAgent]:
    """Listens before its thread runs, so there is nothing to wait for: early connections queue."""
    small_agent = SmallAgent()
    agent_socket.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(agent_socket))
        listener.listen(64)
        server = uvicorn.Server(uvicorn.Config(small_agent.application(), log_config=None, lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="small agent")
        thread.start()
        yield small_agent
        server.should_exit = True
        thread.join(timeout=10)
    assert not thread.is_alive()


@pytest.fixture
def agent(small_agent: SmallAgent) -> SmallAgent:
    small_agent.forget()
    return small_agent


@pytest.fixture
def agent_away(agent: SmallAgent, agent_socket: Path) -> Iterator[Callable[[], None]]:
    """The agent's socket is gone. Call what this gives to bring it back."""
    aside = agent_socket.with_name("away.sock")
    os.rename(agent_socket, aside)

    def come_back() -> None:
        if aside.exists():
            os.rename(aside, agent_socket)

    yield come_back
    come_back()


@pytest.fixture(autouse=True)
def _fast_and_fresh(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hostel.panel.accounts.uses.WRITE_AFTER_S", 3600)  # a thread knows nothing of tests' databases
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    api_requests.clear()
    logins.clear()
    uses.clear()
    login_uses.clear()
    act_as(OPERATOR)


@pytest.fixture
def limit(settings: Any) -> Callable[..., None]:
    """Set keys of the `[panel]` section for this test."""

    def change(**values: int) -> None:
        settings.HOSTEL_CONFIG = replace(settings.HOSTEL_CONFIG, panel=replace(settings.HOSTEL_CONFIG.panel, **values))

    return change


@pytest.fixture
def agent_secret() -> Iterator[Path]:
    """The file in which the agent leaves its secret, holding one."""
    path = django_settings.HOSTEL_PATHS.agent_secret
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("agent-secret\n")
    yield path
    path.unlink(missing_ok=True)


class Person:
    """Somebody with an account, a browser and an API token."""

    def __init__(self, name: str, agent: SmallAgent) -> None:
        self.user = User.objects.add(name, password=PASSWORD)
        agent.tenants[name] = self.user.current_spec()
        self.name = name
        self.token = self.user.replace_token()
        self.websites_url = f"/api/v1/user/{name}/websites/"
        self.domain = f"{name}.hostel.localhost"
        self.browser = Client(headers={"host": HOST}, enforce_csrf_checks=False)

    def call(self, method: str, path: str, data: Any = None, **extra: Any) -> Any:
        """An API call as a program makes it: token, JSON, HTTPS."""
        if data is not None:
            body = data if isinstance(data, str | bytes) else json.dumps(data)
            extra = {"data": body, "content_type": "application/json", **extra}
        headers = {"host": HOST, "authorization": f"Token {self.token}", **extra.pop("headers", {})}
        if method == "GET":
            return Client().generic(method, path, headers=headers, secure=True, **extra)
        revision, entries = current_version(), Entry.objects.count()
        answer = Client().generic(method, path, headers=headers, secure=True, **extra)
        is_recorded = current_version() == revision or Entry.objects.count() > entries
        assert is_recorded, f"{method} {path} changes something: call audit.models.record() in its transaction"
        return answer

    def create(self, *, domain: str = "", command: str = "serve $DOMAIN_SOCKET ", **extra: Any) -> Any:
        wanted = {"domain_name": domain or self.domain, "enabled": True, "webapp": {"command": command}, **extra}
        return self.call("POST", self.websites_url, wanted)

    def log_in(self) -> Client:
        self.browser.force_login(self.user)
        return self.browser


@pytest.fixture
def owner(db: None, agent: SmallAgent) -> Person:
    return Person("xanthippe", agent)


@pytest.fixture
def other(db: None, agent: SmallAgent) -> Person:
    return Person("sokrates", agent)


@pytest.fixture
def stranger(db: None) -> Client:
    """Nobody: no account, no token."""
    return Client(headers={"host": HOST})


@pytest.fixture
def failed() -> Failure:
    return Failure(
        reason=Reason.EXITED,
        detail="The command ended with exit code 1 before it listened on $DOMAIN_SOCKET.",
        stderr=("Traceback (most recent call last):", "ModuleNotFoundError: No module named 'asyncdjango'"),
    )
