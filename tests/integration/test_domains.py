"""Further domains on a whole platform: proof from a real DNS, one website at many names, and nothing left of one."""

import httpx

from certificate_fixtures import FakeDns, kill_agent
from live import Platform, User, answering


def get(platform: Platform, host: str, path: str = "/") -> httpx.Response:
    """Over HTTP, as a visitor whose DNS leads here."""
    with httpx.Client(trust_env=False, timeout=60) as client:
        return client.get(f"http://127.0.0.1:{platform.http_port}{path}", headers={"Host": host})


def test_a_proven_domain_leads_to_the_website_until_it_is_deleted(
    certified: Platform, dora: User, fake_dns: FakeDns
) -> None:
    site, name, bare = f"dora.{certified.domain}", "www.dora.example", "dora.example"
    assert certified.create(dora, "dora", answering("hello")).json()["webapp"]["state"] == "running"
    domains = f"websites/{site}/domains/"
    with certified.api(dora) as api:
        added = api.post(domains, json={"domain_name": name})
        assert (added.status_code, added.json()["is_proven"]) == (201, False)
        assert get(certified, name).status_code == 404
        cname, txt = added.json()["records"]
        fake_dns.set_cname(name, cname["value"])
        assert api.post(f"{domains}{name}/check/").json()["is_proven"] is True
        assert get(certified, name).text == get(certified, site).text

        fake_dns.set_txt(f"_hostel.{bare}", txt["value"])
        redirect = api.post(domains, json={"domain_name": bare, "redirect_to": name})
        assert redirect.json()["is_proven"] is True
        sent_on = get(certified, bare, "/a?b")
        assert sent_on.headers["Location"] == f"http://{name}:{certified.http_port}/a?b"

        assert api.post(f"websites/{site}/reload/").status_code == 200
        assert get(certified, name).status_code == 200
        assert api.patch(f"websites/{site}/", json={"webapp": {"force_https": True}}).status_code == 200
        assert get(certified, name).headers["Location"] == f"https://{name}:{certified.https_port}/"

        assert api.delete(f"{domains}{bare}/").status_code == 204
        assert get(certified, bare).status_code == 404
        assert api.patch(f"{domains}{name}/", json={"enabled": False}).status_code == 200
        assert get(certified, name).status_code == 404
        assert api.patch(f"{domains}{name}/", json={"enabled": True}).status_code == 200
        assert get(certified, name).status_code == 308
        assert api.delete(f"websites/{site}/").status_code == 204
    assert get(certified, name).status_code == 404
    assert get(certified, site).status_code == 404


def test_a_domain_moves_from_one_website_to_another_at_once(certified: Platform, dora: User, fake_dns: FakeDns) -> None:
    name, labels = "moving.dora.example", ("one-dora", "two-dora")
    for label in labels:
        assert certified.create(dora, label, answering(label)).status_code == 201
    with certified.api(dora) as api:
        for number in range(6):
            domains = f"websites/{labels[number % 2]}.{certified.domain}/domains/"
            added = api.post(domains, json={"domain_name": name}).json()
            fake_dns.set_txt(f"_hostel.{name}", added["records"][1]["value"])
            assert number or api.post(f"{domains}{name}/check/").status_code == 200
            assert get(certified, name).json()["word"] == labels[number % 2]
            assert api.delete(f"{domains}{name}/").status_code == 204
            assert get(certified, name).status_code == 404
        for label in labels:
            certified.delete(dora, label)


def test_a_website_may_have_an_own_domain_as_its_name(certified: Platform, dora: User, fake_dns: FakeDns) -> None:
    name = "shop.dora.example"
    body = {"domain_name": name, "enabled": True, "webapp": {"command": answering("shop")}}
    with certified.api(dora) as api:
        refused = api.post("websites/", json=body)
        assert (refused.status_code, refused.headers["Hostel-Error-Code"]) == (400, "domain_unproven")
        record = refused.json()["domain_name"][0].partition('TXT "')[2].partition('"')[0]
        fake_dns.set_txt(f"_hostel.{name}", record)
        created = api.post("websites/", json=body)
        assert created.status_code == 201, created.text
        assert created.json()["webapp"]["domains"][0]["cname"].endswith(certified.domain)
        assert get(certified, name).status_code == 200
        assert api.delete(f"websites/{name}/").status_code == 204


def test_the_agent_and_nginx_killed_the_domains_are_there_again(
    certified: Platform, dora: User, fake_dns: FakeDns
) -> None:
    label, name = "kept-dora", "kept.dora.example"
    certified.create(dora, label, answering())
    with certified.api(dora) as api:
        domains = f"websites/{label}.{certified.domain}/domains/"
        fake_dns.set_txt(f"_hostel.{name}", api.post(domains, json={"domain_name": name}).json()["records"][1]["value"])
        assert api.post(f"{domains}{name}/check/").status_code == 200
        kill_agent(certified)
        assert get(certified, name).status_code == 200
        certified.delete(dora, label)
        assert get(certified, name).status_code == 404
