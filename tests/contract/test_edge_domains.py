"""Further names of a website, forced HTTPS, HSTS, and the path of the certificate authority's questions."""

from pathlib import Path

import pytest
from cryptography import x509
from edge_fixtures import DOMAIN, RunningEdge, Upstream, answer, make_certificate, replying

from hostel.wire.route import RouteState

SITE, ALIAS, REDIRECT = f"names.{DOMAIN}", "www.names.example", "names.example"


@pytest.fixture(scope="module")
def upstream(edge: RunningEdge) -> Upstream:
    return edge.upstream(
        "names-1", replying(answer("hello", "Strict-Transport-Security: max-age=1; includeSubDomains"))
    )


def publish(edge: RunningEdge, upstream: Upstream, **fields: object) -> None:
    edge.running(SITE, upstream, **fields)
    edge.running(ALIAS, upstream, website=SITE, **fields)
    target = {"host": f"{ALIAS}:{edge.http_port}", "https_host": f"{ALIAS}:{edge.https_port}"}
    edge.running(REDIRECT, upstream, website=SITE, is_redirect=True, **target, **fields)


def test_an_alias_is_the_same_website_under_its_own_name(edge: RunningEdge, upstream: Upstream) -> None:
    publish(edge, upstream)
    before = int(edge.call(lambda e: e.arrived(SITE)))
    assert edge.get(ALIAS).body == b"hello"
    assert upstream.requests[-1].headers["host"] == f"{ALIAS}:{edge.http_port}"
    assert edge.call(lambda e: e.arrived(SITE)) == before + 1, "counted by the website"


@pytest.mark.parametrize("path", ["/", "/a/b?c=%2e&d=//x", "//evil.example/"])
def test_a_redirect_keeps_scheme_and_path(edge: RunningEdge, upstream: Upstream, path: str) -> None:
    publish(edge, upstream)
    plain = edge.send("POST", REDIRECT, path, body=b"x=1")
    assert (plain.status, plain.headers["location"]) == (308, f"http://{ALIAS}:{edge.http_port}{path}")
    secure = edge.get(REDIRECT, path, tls=REDIRECT)
    assert (secure.status, secure.headers["location"]) == (308, f"https://{ALIAS}:{edge.https_port}{path}")


def test_forced_https_sends_everybody_on_and_no_request_to_the_website(edge: RunningEdge, upstream: Upstream) -> None:
    publish(edge, upstream, force_https=True)
    seen = len(upstream.requests)
    for host, shown in ((SITE, SITE), (ALIAS, ALIAS), (REDIRECT, ALIAS)):
        sent = edge.send("PUT", host, "/x?y", body=b"body")
        assert (sent.status, sent.body) == (308, b"")
        assert sent.headers["location"] == f"https://{shown}:{edge.https_port}/x?y"
    assert len(upstream.requests) == seen
    assert edge.get(SITE, tls=SITE).status == 200


def test_hsts_is_said_over_https_alone_and_replaces_the_websites_own(edge: RunningEdge, upstream: Upstream) -> None:
    publish(edge, upstream, hsts_s=31_536_000)
    assert edge.get(ALIAS, tls=ALIAS).headers["strict-transport-security"] == "max-age=31536000"
    assert "includeSubDomains" in edge.get(ALIAS).headers["strict-transport-security"], "over HTTP nobody heeds it"
    publish(edge, upstream)
    assert "includeSubDomains" in edge.get(ALIAS, tls=ALIAS).headers["strict-transport-security"]


def test_a_held_alias_wakes_the_website(edge: RunningEdge) -> None:
    agent = edge.agent(replying(answer("", status="202 Accepted")))
    edge.publish("www.asleep.example", RouteState.HELD, website=f"asleep.{DOMAIN}", hold_s=0.3)
    assert edge.get("www.asleep.example").status == 503
    assert agent.requests[0].line == f"POST /wake/asleep.{DOMAIN} HTTP/1.1"


@pytest.mark.parametrize("host", [SITE, ALIAS, REDIRECT, "unknown.example"])
@pytest.mark.parametrize("is_secure", [False, True])
def test_h6_the_challenge_path_is_the_platforms_for_all_names(
    edge: RunningEdge, upstream: Upstream, host: str, is_secure: bool
) -> None:
    """Positive control: any other path reaches the website."""
    publish(edge, upstream, force_https=True)
    (edge.paths.challenges / "token").write_text("token.thumb")
    tls = host if is_secure else None
    seen = len(upstream.requests)
    assert edge.get(host, "/.well-known/acme-challenge/token", tls=tls).body == b"token.thumb"
    for path in ("other", "", "//token/x", "token%00"):
        assert edge.get(host, f"/.well-known/acme-challenge/{path}", tls=tls).status in (308, 400, 403, 404), path
    for path in (
        "/.well-known/./acme-challenge/x",
        "/.well-known//acme-challenge/x",
        "/%2ewell-known/acme%2dchallenge/x",
    ):
        assert edge.get(host, path, tls=tls).status == 404, path
    assert edge.send("POST", host, "/.well-known/acme-challenge/token", body=b"x", tls=tls).status == 405
    assert len(upstream.requests) == seen
    if is_secure and host in (SITE, ALIAS):
        assert edge.get(host, "/.well-known/acme-challenge-2/token", tls=tls).status == 200


def test_a_certificate_is_another_at_once_in_each_worker_also_when_it_was_removed_between(
    edge: RunningEdge, tmp_path: Path
) -> None:
    name = "www.changing.example"
    for number in range(3):
        make_certificate(tmp_path, f"{number}", name, f"names.{DOMAIN}")
        chain, key = (tmp_path / f"{number}.pem").read_bytes(), (tmp_path / f"{number}.key").read_bytes()
        (edge.paths.certificates / f"{name}.pem").write_bytes(chain + key)
        edge.call(lambda e: e.push_certificate(name, only_for=name))
        wanted = x509.load_pem_x509_certificate(chain)
        assert all(shown(edge, name) == wanted for _ in range(12)), "connections fall to all workers"
        assert shown(edge, f"names.{DOMAIN}") != wanted
        if number == 1:
            edge.call(lambda e: e.remove_certificate(name))
            assert all(shown(edge, name) == shown(edge, f"names.{DOMAIN}") for _ in range(12))


def shown(edge: RunningEdge, name: str) -> x509.Certificate:
    with edge.connect(tls=name) as connection:
        der = connection.getpeercert(binary_form=True)  # type: ignore[attr-defined]
    return x509.load_der_x509_certificate(der)
