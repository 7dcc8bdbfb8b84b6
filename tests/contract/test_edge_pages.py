"""Error pages: an id for what the website's owner can mend, remembered for the panel and for nobody else."""

import re

import pytest
from edge_fixtures import DOMAIN, RunningEdge

from hostel.wire.report import Explained
from hostel.wire.route import RouteState

ID = re.compile("[0-9a-f]{16}")


def find(edge: RunningEdge, error_id: str) -> Explained | None:
    return edge.call(lambda agent: agent.find_explained(error_id))


def test_an_id_tells_the_panel_what_was_answered_and_the_visitor_nothing(edge: RunningEdge) -> None:
    domain = f"failed.{DOMAIN}"
    edge.publish(domain, RouteState.FAILED)
    response = edge.send("POST", domain, "/caf\xe9/<b>?token=secret", body=b"x")
    error_id = response.headers["hostel-error-id"]
    assert ID.fullmatch(error_id)
    page = response.body.decode()
    assert page.count(error_id) == 2
    assert f'<a href="https://www.{DOMAIN}:{edge.https_port}/why/{error_id}/">' in page
    assert int(response.headers["content-length"]) == len(response.body)
    found = find(edge, error_id)
    assert found is not None
    assert (found.website, found.code, found.method, found.path) == (domain, "website_failed", "POST", "/caf?/<b>")
    for text in ("ERROR_ID", "website_failed", "<!--"):
        assert text not in page


def test_each_request_has_an_id_of_its_own(edge: RunningEdge) -> None:
    domain = f"off.{DOMAIN}"
    edge.publish(domain, RouteState.DISABLED)
    assert len({edge.get(domain).headers["hostel-error-id"] for _ in range(5)}) == 5


@pytest.mark.parametrize("error_id", ["0" * 16, "", "../x", "a&id=b", "%00"])
def test_an_unknown_id_is_none(edge: RunningEdge, error_id: str) -> None:
    assert find(edge, error_id) is None


def test_what_no_owner_can_mend_has_no_id(edge: RunningEdge) -> None:
    unknown = edge.get(f"nobody.{DOMAIN}")
    assert unknown.status == 404
    assert "hostel-error-id" not in unknown.headers
    assert b"why" not in unknown.body


def test_the_panel_s_own_pages_do_not_lead_back_to_it(edge: RunningEdge) -> None:
    edge.publish(f"www.{DOMAIN}", RouteState.FAILED)
    response = edge.get(f"www.{DOMAIN}")
    assert response.status == 502
    assert "hostel-error-id" not in response.headers
    assert b"/why/" not in response.body


def test_a_flood_of_errors_pushes_out_old_ids_and_nothing_else(edge: RunningEdge) -> None:
    domain = f"flood.{DOMAIN}"
    edge.publish(domain, RouteState.DISABLED)
    with edge.connect() as connection:
        request = f"GET /{'x' * 190} HTTP/1.1\r\nHost: {domain}\r\n\r\n".encode()
        first = None
        for _ in range(80):
            connection.sendall(request * 100)
            read = b""
            while read.count(b"</html>") < 100:
                read += connection.recv(1 << 20)
            first = first or re.search(b"(?i)hostel-error-id: ([0-9a-f]+)", read)
    assert first is not None
    assert find(edge, first[1].decode()) is None
    assert find(edge, edge.get(domain).headers["hostel-error-id"]) is not None
    assert "no memory" not in edge.errors()
