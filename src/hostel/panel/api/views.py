"""The endpoints. Each starts from the caller's own websites, so a stranger's are never looked at."""

from contextlib import ExitStack
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views import View
from drf_spectacular.renderers import OpenApiJsonRenderer2
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from hostel.panel.accounts.models import Scope, User
from hostel.panel.accounts.places import place_of
from hostel.panel.api import schema_websites as schema
from hostel.panel.api.authentication import actor_of, user_of
from hostel.panel.api.errors import CODE_HEADER, refused_as
from hostel.panel.api.permissions import check_exposure
from hostel.panel.api.shapes_website import WebsiteChange, WebsiteCreation, shown, wanted_by
from hostel.panel.audit.models import act_as
from hostel.panel.domains.models import DomainExists
from hostel.panel.websites import deploy
from hostel.panel.websites.condition import Condition
from hostel.panel.websites.models import Website
from hostel.wire.errors import DomainUnproven, WebsiteDisabled
from hostel.wire.website import Phase


class CountedView(APIView):
    """An APIView whose refusals count too: DRF throttles after its other checks, so a 401 would be free."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        self.format_kwarg = self.get_format_suffix(**kwargs)
        request.accepted_renderer, request.accepted_media_type = self.perform_content_negotiation(request)
        request.version, request.versioning_scheme = self.determine_version(request, *args, **kwargs)
        try:
            self.perform_authentication(request)
        finally:  # where it failed the caller is anonymous, and counted by address
            self.check_throttles(request)
        self.check_permissions(request)


class OwnersView(CountedView):
    """Of the user in the address. `scopes` are what a named token needs to read, and to change: see HasScope."""

    scopes: tuple[Scope, Scope] | None = (Scope.WEBSITES_READ, Scope.WEBSITES_WRITE)

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        with ExitStack() as self._place:
            return super().dispatch(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        self._place.enter_context(place_of(self.owner.username))
        act_as(actor_of(request))

    @property
    def owner(self) -> User:
        return user_of(self.request)

    def get_website(self, domain_name: str) -> Website:
        website = self.owner.websites.all().find(domain_name)
        if website is None:
            raise Http404
        website.owner = self.owner  # known: saves a query
        return website

    def sent(self, kind: type[serializers.Serializer[Any]], **context: Any) -> dict[str, Any]:
        """What the caller sent, as `kind` reads it, or the refusal that names each wrong field."""
        serializer = kind(data=self.request.data, context=context)
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)

    def answer(self, website: Website, condition: Condition, *, status: int = 200) -> Response:
        return Response(shown(website, condition, owner=self.owner), status=status)


class Websites(OwnersView):
    @schema.list_websites
    def get(self, request: Request, username: str) -> Response:
        websites = list(self.owner.websites.all().with_domains())
        looked_at = deploy.look_at_all(self.owner, websites)
        return Response([shown(website, condition, owner=self.owner) for website, condition in looked_at])

    @schema.create_website
    def post(self, request: Request, username: str) -> Response:
        sent = self.sent(WebsiteCreation, owner=self.owner)
        wanted = wanted_by(sent)
        check_exposure(request, wanted)
        with refused_as("domain_name", DomainExists, DomainUnproven):
            website, condition = deploy.create(owner=self.owner, domain_name=sent["domain_name"], wanted=wanted)
        return self.answer(website, condition, status=201)


class WebsiteDetail(OwnersView):
    @schema.get_website
    def get(self, request: Request, username: str, domain_name: str) -> Response:
        website = self.get_website(domain_name)
        return self.answer(website, deploy.look_at(website))

    @schema.change_website
    def patch(self, request: Request, username: str, domain_name: str) -> Response:
        website = self.get_website(domain_name)
        wanted = wanted_by(self.sent(WebsiteChange, website=website))
        check_exposure(request, wanted, is_exposed=website.expose_token)
        return self.answer(website, deploy.change(website, wanted))

    @schema.delete_website
    def delete(self, request: Request, username: str, domain_name: str) -> Response:
        deploy.delete(self.get_website(domain_name))
        return Response(status=204)


class WebsiteReload(OwnersView):
    @schema.reload_website
    def post(self, request: Request, username: str, domain_name: str) -> Response:
        try:
            condition = deploy.reload(self.get_website(domain_name))
        except WebsiteDisabled as error:
            return _refused_reload(error.code, str(error), reason=None, stderr=())
        if condition.phase is Phase.FAILED:
            trouble = condition.deploy_trouble
            return _refused_reload("deploy_failed", trouble.detail, reason=trouble.reason, stderr=trouble.stderr)
        if condition.phase is Phase.STARTING:
            return Response({"status": "starting"}, status=202)
        return Response({"status": "OK"})


def _refused_reload(code: str, error: str, *, reason: str | None, stderr: tuple[str, ...]) -> Response:
    body = {"status": "error", "code": code, "error": error, "reason": reason, "stderr": list(stderr)}
    return Response(body, status=409, headers={CODE_HEADER: code})


@extend_schema(exclude=True)
class UnknownOfUser(OwnersView):
    """No such endpoint; but first of all, not your account."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        raise Http404


@extend_schema(exclude=True)
class Unknown(CountedView):
    permission_classes = [AllowAny]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        raise Http404


class Schema(CountedView, SpectacularAPIView):
    """The OpenAPI 3 description, as JSON."""

    permission_classes = [AllowAny]
    authentication_classes = []
    renderer_classes = [OpenApiJsonRenderer2]


class Docs(View):
    """Swagger UI over the description, its files and its one script served from here."""

    def get(self, request: HttpRequest) -> HttpResponse:
        response = render(request, "api/docs.html")
        response.headers["Content-Security-Policy"] = (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
            " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        )
        return response
