"""Certificates of domains. The panel keeps none: what is sent goes to the agent, and no key is ever shown."""

from django.db import transaction
from django.http import Http404
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from hostel.panel import agent
from hostel.panel.api import schema_domains as schema
from hostel.panel.api.serializers import CertificateSent
from hostel.panel.api.views import OwnersView
from hostel.panel.audit.models import Deed, record
from hostel.panel.domains.models import Domain
from hostel.wire.certificate import (
    CertificateOrder,
    CertificateRefused,
    CertificateUpload,
    CoveredByPlatform,
    StillIssuing,
)
from hostel.wire.errors import DomainUnproven
from hostel.wire.names import InvalidName, canonical_domain


class DomainCertificate(OwnersView):
    @schema.get_certificate
    def get(self, request: Request, username: str, domain_name: str) -> Response:
        found = agent.find_certificate(self.get_name(domain_name), tenant=self.owner.username)
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
        self.note(name, sent.get("cert_type", "custom"))
        if sent.get("cert_type"):
            return self.order(name)
        upload = CertificateUpload(tenant=self.owner.username, chain=sent["cert"], private_key=sent["private_key"])
        try:
            agent.upload_certificate(name, upload)
        except (CertificateRefused, CoveredByPlatform) as error:
            key = "private_key" if error.code == "certificate_key" else "cert"
            raise serializers.ValidationError({key: [str(error)]}, code=error.code) from error
        return Response({"status": "OK"})

    @schema.delete_certificate
    def delete(self, request: Request, username: str, domain_name: str) -> Response:
        name = self.get_name(domain_name)
        agent.delete_certificate(name, tenant=self.owner.username)
        self.note(name, None)
        return Response(status=204)

    def order(self, name: str) -> Response:
        try:
            agent.order_certificate(name, CertificateOrder(tenant=self.owner.username))
        except StillIssuing:
            return Response({"status": "starting"}, status=202)
        return Response({"status": "OK"})

    def get_name(self, domain_name: str) -> str:
        """The canonical domain, if a website of the caller has it. Raises DomainUnproven before its proof."""
        try:
            name = canonical_domain(domain_name)
        except InvalidName:
            raise Http404 from None
        if self.owner.websites.filter(canonical_name=name).exists():
            return name
        further = Domain.objects.filter(website__owner=self.owner, canonical_name=name)
        if further.proven().exists():
            return name
        if further.exists():
            raise DomainUnproven
        raise Http404

    def note(self, name: str, cert_type: str | None) -> None:
        with transaction.atomic():
            record(self.owner, Deed.CERTIFICATE_CHANGE, name, {"cert_type": cert_type})
