"""Further domains of a website: aliases and redirects, and the proof that they are the user's."""

from django.http import Http404
from rest_framework.request import Request
from rest_framework.response import Response

from hostel.panel.api import schema_domains as schema
from hostel.panel.api.errors import refused_as
from hostel.panel.api.shapes_domain import DomainChange, DomainCreation, shown_domain
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
        sent = self.sent(DomainCreation, owner=self.owner, website=website)
        name = sent.pop("domain_name")
        with refused_as("domain_name", DomainExists):
            domain = claim.add(website, domain_name=name, canonical_name=canonical_domain(name), wanted=sent)
        return self.show(domain, status=201)


class DomainDetail(DomainsView):
    @schema.get_domain
    def get(self, request: Request, username: str, domain_name: str, name: str) -> Response:
        return self.show(self.get_domain(self.get_website(domain_name), name))

    @schema.change_domain
    def patch(self, request: Request, username: str, domain_name: str, name: str) -> Response:
        website = self.get_website(domain_name)
        domain = self.get_domain(website, name)
        claim.change(domain, self.sent(DomainChange, website=website, domain=domain.canonical_name))
        return self.show(domain)

    @schema.delete_domain
    def delete(self, request: Request, username: str, domain_name: str, name: str) -> Response:
        claim.delete(self.get_domain(self.get_website(domain_name), name))
        return Response(status=204)


class DomainCheck(DomainsView):
    @schema.check_domain
    def post(self, request: Request, username: str, domain_name: str, name: str) -> Response:
        domain = self.get_domain(self.get_website(domain_name), name)
        with refused_as("domain_name", DomainExists):
            claim.prove(domain)
        return self.show(domain)
