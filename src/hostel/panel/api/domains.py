"""Further domains of a website: aliases and redirects, and the proof that they are the user's."""

from typing import Any

from django.http import Http404
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response

from hostel.panel.api import schema_domains as schema
from hostel.panel.api.serializers import DomainChange, DomainCreation, shown_domain
from hostel.panel.api.views import OwnersView
from hostel.panel.domains import claim
from hostel.panel.domains.models import Domain, DomainExists
from hostel.panel.websites.models import Website
from hostel.wire.names import InvalidName, canonical_domain


class DomainsView(OwnersView):
    def get_domain(self, website: Website, name: str) -> Domain:
        try:
            domain = website.domains.filter(canonical_name=canonical_domain(name)).first()
        except InvalidName:
            domain = None
        if domain is None:
            raise Http404
        domain.website = website
        return domain

    def show(self, domain: Domain, *, status: int = 200) -> Response:
        return Response(shown_domain(domain, owner=self.owner), status=status)


class Domains(DomainsView):
    @schema.list_domains
    def get(self, request: Request, username: str, domain_name: str) -> Response:
        website = self.get_website(domain_name)
        return Response([shown_domain(domain, owner=self.owner) for domain in website.domains.all()])

    @schema.add_domain
    def post(self, request: Request, username: str, domain_name: str) -> Response:
        website = self.get_website(domain_name)
        serializer = DomainCreation(data=request.data, context={"owner": self.owner, "website": website})
        serializer.is_valid(raise_exception=True)
        sent: dict[str, Any] = dict(serializer.validated_data)
        name = sent.pop("domain_name")
        try:
            domain = claim.add(website, domain_name=name, canonical_name=canonical_domain(name), wanted=sent)
        except DomainExists as error:
            raise exceptions.ValidationError({"domain_name": [str(error)]}, code=error.code) from error
        return self.show(domain, status=201)


class DomainDetail(DomainsView):
    @schema.get_domain
    def get(self, request: Request, username: str, domain_name: str, name: str) -> Response:
        return self.show(self.get_domain(self.get_website(domain_name), name))

    @schema.change_domain
    def patch(self, request: Request, username: str, domain_name: str, name: str) -> Response:
        website = self.get_website(domain_name)
        domain = self.get_domain(website, name)
        context = {"website": website, "domain": domain.canonical_name}
        serializer = DomainChange(data=request.data, context=context)
        serializer.is_valid(raise_exception=True)
        claim.change(domain, serializer.validated_data)
        return self.show(domain)

    @schema.delete_domain
    def delete(self, request: Request, username: str, domain_name: str, name: str) -> Response:
        claim.delete(self.get_domain(self.get_website(domain_name), name))
        return Response(status=204)


class DomainCheck(DomainsView):
    @schema.check_domain
    def post(self, request: Request, username: str, domain_name: str, name: str) -> Response:
        domain = self.get_domain(self.get_website(domain_name), name)
        try:
            claim.prove(domain)
        except DomainExists as error:
            raise exceptions.ValidationError({"domain_name": [str(error)]}, code=error.code) from error
        return self.show(domain)
