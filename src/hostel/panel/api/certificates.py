"""Certificates of domains. The panel keeps none: what is sent goes to the agent, and no key is ever shown."""

from django.http import Http404
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from hostel.panel import agent
from hostel.panel.api import schema_domains as schema
from hostel.panel.api.shapes_domain import CertificateSent
from hostel.panel.api.views import OwnersView
from hostel.panel.domains import certificates
from hostel.panel.domains.models import Domain
from hostel.wire.certificate import CertificateRefused, CoveredByPlatform, NoCertificate, StillIssuing


class DomainCertificate(OwnersView):
    @schema.get_certificate
    def get(self, request: Request, username: str, domain_name: str) -> Response:
        try:
            found = agent.find_certificate(self.get_name(domain_name), tenant=self.owner.username)
        except StillIssuing as error:
            raise NoCertificate(str(error)) from error
        return Response(
            {
                "cert_type": found.cert_type.value,
                "not_after": found.not_after,
                "issuer_name": found.issuer_name,
                "subject_name": found.subject_name,
                "subject_alternate_names": list(found.subject_alternate_names),
                "renewal_at": found.renewal_at or None,
                "reason": found.failure or None,
                "detail": found.detail,
            }
        )

    @schema.set_certificate
    def post(self, request: Request, username: str, domain_name: str) -> Response:
        name = self.get_name(domain_name)
        sent = self.sent(CertificateSent)
        if sent.get("cert_type"):
            return self.order(name)
        try:
            certificates.upload(self.owner, name, chain=sent["cert"], private_key=sent["private_key"])
        except (CertificateRefused, CoveredByPlatform) as error:
            key = certificates.part_at_fault(error)
            raise serializers.ValidationError({key: [str(error)]}, code=error.code) from error
        return Response({"status": "OK"})

    @schema.delete_certificate
    def delete(self, request: Request, username: str, domain_name: str) -> Response:
        certificates.delete(self.owner, self.get_name(domain_name))
        return Response(status=204)

    def order(self, name: str) -> Response:
        try:
            certificates.order(self.owner, name)
        except StillIssuing:
            return Response({"status": "starting"}, status=202)
        return Response({"status": "OK"})

    def get_name(self, domain_name: str) -> str:
        """Raises DomainUnproven before its proof."""
        try:
            return certificates.get_name(self.owner, domain_name)
        except Domain.DoesNotExist:
            raise Http404 from None
