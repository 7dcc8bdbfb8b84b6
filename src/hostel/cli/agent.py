"""The one door to the agent: its socket for root, `run/hostel/agent/root/agent.sock`."""

import json
import os
from typing import Any, TypeVar

import httpx

from hostel.cli.errors import NotRoot
from hostel.wire.codec import parse, to_jsonable
from hostel.wire.errors import AgentUnreachable, HostelError, error_from_answer
from hostel.wire.paths import Paths
from hostel.wire.report import (
    AgentCheck,
    AgentChecks,
    Health,
    TenantReport,
    TenantReports,
    TenantUsages,
    WebsiteReports,
)
from hostel.wire.website import ExecPlan, ExecRequest, RunId, WebsiteReport

T = TypeVar("T")

DEADLINE_S = 30.0
PREPARE_DEADLINE_S = 90.0  # a first exec may make the tenant's network and cgroups, and migrate the panel


class Agent:
    """The agent of one installation. Every method raises AgentUnreachable, or the error that the agent answered."""

    def __init__(self, paths: Paths) -> None:
        self._socket = paths.agent_for_root / "agent.sock"

    def health(self) -> Health:
        return parse(Health, self._call("GET", "/health"))

    def is_running(self) -> bool:
        try:
            self.health()
        except AgentUnreachable:
            return False
        return True

    def tenants(self) -> tuple[TenantReport, ...]:
        return parse(TenantReports, self._call("GET", "/tenants")).tenants

    def usage(self) -> TenantUsages:
        return parse(TenantUsages, self._call("GET", "/usage"))

    def websites(self, *, tenant: str = "") -> tuple[WebsiteReport, ...]:
        params = {"tenant": tenant} if tenant else {}
        return parse(WebsiteReports, self._call("GET", "/websites", params=params)).websites

    def website(self, canonical: str) -> WebsiteReport:
        return parse(WebsiteReport, self._call("GET", f"/websites/{canonical}"))

    def checks(self) -> tuple[AgentCheck, ...]:
        return parse(AgentChecks, self._call("GET", "/doctor")).checks

    def prepare(self, tenant: str, request: ExecRequest) -> ExecPlan:
        """Have a sandbox prepared for one command. Whoever gets a plan must `end` its run."""
        body = to_jsonable(request)
        return parse(ExecPlan, self._call("POST", f"/tenants/{tenant}/exec", body=body, deadline_s=PREPARE_DEADLINE_S))

    def end(self, run: RunId) -> None:
        """Kill what is left of `run` and remove its sandbox."""
        self._call("DELETE", f"/runs/{run}")

    def _call(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, str] | None = None,
        body: object = None,
        deadline_s: float = DEADLINE_S,
    ) -> Any:
        transport = httpx.HTTPTransport(uds=str(self._socket))
        try:
            with httpx.Client(transport=transport, base_url="http://agent", timeout=deadline_s) as client:
                response = client.request(method, path, params=params, json=body)
        except httpx.ConnectError as error:
            if os.geteuid() != 0:
                raise NotRoot from error
            raise AgentUnreachable(f"the platform is not running: nothing answers at {self._socket}") from error
        except httpx.TransportError as error:
            raise AgentUnreachable(f"the agent did not answer: {type(error).__name__} at {self._socket}") from error
        return _read(response)


def _read(response: httpx.Response) -> Any:
    try:
        data = response.json()
    except json.JSONDecodeError:
        data = None
    if response.is_success and data is not None:
        return data
    if isinstance(data, dict) and "code" in data:
        raise error_from_answer(str(data["code"]), str(data.get("message", "")))
    raise HostelError(f"the agent answered {response.status_code} {response.text[:200]!r}")
