"""Static mappings of a website, in the shapes that the compared API has for its older kind of website."""

from typing import Any

from django.http import Http404
from rest_framework.request import Request
from rest_framework.response import Response

from hostel.panel.api import schema_edge as schema
from hostel.panel.api.errors import refused_as
from hostel.panel.api.shapes_edge import MappingChange, MappingRequest
from hostel.panel.api.views import OwnersView
from hostel.panel.websites import deploy
from hostel.panel.websites.models import StaticMapping, Website
from hostel.wire.static_files import InvalidMapping


class MappingsView(OwnersView):
    def get_mapping(self, website: Website, mapping_id: int) -> StaticMapping:
        mapping = website.static_files.filter(pk=mapping_id).first() if mapping_id < 1 << 63 else None
        if mapping is None:
            raise Http404
        return mapping


class StaticFiles(MappingsView):
    @schema.list_mappings
    def get(self, request: Request, username: str, domain_name: str) -> Response:
        return Response([_shown(each) for each in self.get_website(domain_name).static_files.all()])

    @schema.create_mapping
    def post(self, request: Request, username: str, domain_name: str) -> Response:
        website = self.get_website(domain_name)
        sent = self.sent(MappingRequest, owner=self.owner)
        with refused_as("non_field_errors", InvalidMapping):
            mapping = deploy.add_mapping(website, url=sent["url"], path=sent["path"])
        return Response(_shown(mapping), status=201)


class One(MappingsView):
    @schema.get_mapping
    def get(self, request: Request, username: str, domain_name: str, mapping_id: int) -> Response:
        return Response(_shown(self.get_mapping(self.get_website(domain_name), mapping_id)))

    @schema.put_mapping
    def put(self, request: Request, username: str, domain_name: str, mapping_id: int) -> Response:
        return self._change(MappingRequest, domain_name, mapping_id)

    @schema.patch_mapping
    def patch(self, request: Request, username: str, domain_name: str, mapping_id: int) -> Response:
        return self._change(MappingChange, domain_name, mapping_id)

    @schema.delete_mapping
    def delete(self, request: Request, username: str, domain_name: str, mapping_id: int) -> Response:
        website = self.get_website(domain_name)
        deploy.remove_mapping(website, self.get_mapping(website, mapping_id))
        return Response(status=204)

    def _change(self, kind: type[MappingChange], domain_name: str, mapping_id: int) -> Response:
        website = self.get_website(domain_name)
        mapping = self.get_mapping(website, mapping_id)
        deploy.change_mapping(website, mapping, self.sent(kind, owner=self.owner))
        return Response(_shown(mapping))


def _shown(mapping: StaticMapping) -> dict[str, Any]:
    return {"id": mapping.pk, "url": mapping.url, "path": mapping.path}
