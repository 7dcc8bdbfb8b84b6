"""Group H, names and certificates. H2 and H3 are properties of pure functions: tests/unit/wire/test_names.py."""

import json
import re
import secrets
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import idna
import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from edge_fixtures import DOMAIN, RunningEdge, make_certificate

from hostel.wire.names import RESERVED_LABELS, InvalidName, canonical_domain, check_user_domain, check_username
from live import Platform, User, answering

CATALOGUE = "www api admin mail ns1 autodiscover autoconfig wpad isatap mta-sts localhost".split()


# -- H1


def wide(text: str) -> str:
    """In full-width letters, which look much the same and fold to the plain ones."""
    return "".join(chr(ord(letter) + 0xFEE0) if letter.isalnum() else letter for letter in text)


def spellings(label: str) -> list[str]:
    cyrillic = label.translate(str.maketrans("aceopxiw", "\u0430\u0441\u0435\u043e\u0440\u0445\u0456\u051d"))
    joined = f"{label[0]}\u200d{label[1:]}"
    return [label, label.upper(), label.title(), wide(label), cyrillic, joined, f"_{label}"]


def test_h1_no_website_has_a_reserved_name(spare: Platform, mona: User) -> None:
    """Positive control: the same call with another word is taken."""

    def create(domain: str) -> tuple[int, str]:
        body = {"domain_name": domain, "enabled": False, "webapp": {"command": answering()}}
        with spare.api(mona) as api:
            answer = api.post("websites/", json=body)
        return answer.status_code, answer.headers.get("Hostel-Error-Code", "")

    names = [name for label in CATALOGUE for name in spellings(label)]
    domains = [f"{name}{rest}.{spare.domain}" for name in names for rest in ("", "-mona")]
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(create, domains)) == {(400, "invalid_name")}
    for word in ("wwww", "apis"):
        assert create(f"{word}-mona.{spare.domain}") == (201, "")
        spare.delete(mona, f"{word}-mona")


def test_h1_no_user_has_a_reserved_name(spare: Platform) -> None:
    for name in (*RESERVED_LABELS, *(spelling for label in CATALOGUE for spelling in spellings(label))):
        with pytest.raises(InvalidName):
            check_username(name)
    refused = spare.hostel("user", "add", "Admin", "--password-stdin", stdin="correct horse battery\n", check=False)
    assert refused.returncode != 0
    adding = ("-m", "hostel.panel", "user", "add", "webmail", "--password-stdin")
    refused = spare.hostel("shell", "hostel", "--", "python", *adding, stdin="correct horse battery\n", check=False)
    assert (refused.returncode, "reserved" in refused.stderr) == (1, True), "asked past the command line's own check"


def test_h1_a_user_name_that_completes_a_look_alike_gives_no_look_alike() -> None:
    """`ypc` owns everything that ends in -ypc, were it not that browsers show this one as another word."""
    look_alike = f"xn--ww-ypc.{DOMAIN}"
    assert not idna.decode(look_alike).isascii()
    assert canonical_domain(look_alike) == look_alike, "positive control: by itself it is a name like others"
    with pytest.raises(InvalidName):
        check_user_domain(look_alike, username="ypc", sites_domain=DOMAIN)


# -- H5

RACE_S, RACE_LIMIT_S = 4.0, 30.0
LABELS = ("mona", "race-mona", "otto", "race-otto")


def test_h5_crossing_calls_of_two_users_leave_one_truth(spare: Platform, mona: User, otto: User) -> None:
    """Create, change, reload and delete at once, of each website by its owner and by the other, for some seconds and
    until each kind of call has been taken.

    Without a lock for each website such a race shows in the random schedules, whose checker has a control of its own
    (tests/integration/test_schedules.py); here there is none: the lock is the task that a website is.
    """
    owners = {"mona": mona, "otto": otto}
    for user in owners.values():
        delete_websites(spare, user)  # another test may have left some, of which nothing is promised
    began = time.monotonic()
    taken, statuses = {200, 201, 204}, set[int]()

    def play(number: int) -> None:
        user, label = (mona, otto)[number % 2], LABELS[number % 4]
        path = f"websites/{label}.{spare.domain}/"
        with spare.api(user) as api:
            while time.monotonic() - began < (RACE_S if taken <= statuses else RACE_LIMIT_S):
                word = secrets.token_hex(3)
                body = {
                    "domain_name": f"{label}.{spare.domain}",
                    "enabled": bool(secrets.randbelow(3)),
                    "webapp": {"command": answering(word), "grace_s": 1, "drain_s": 0},
                }
                deeds = (
                    ("POST", "websites/", body),
                    ("PATCH", path, {"webapp": body["webapp"]}),
                    ("PATCH", path, {"enabled": body["enabled"]}),
                    ("POST", f"{path}reload/", {}),
                    ("DELETE", path, {}),
                )
                method, where, sent = secrets.choice(deeds)
                statuses.add(api.request(method, where, json=sent).status_code)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(play, range(8)))
    assert taken <= statuses <= {*taken, 202, 400, 404, 409}, statuses
    assert_one_truth(spare, owners)


def delete_websites(platform: Platform, user: User) -> None:
    with platform.api(user) as api:
        for row in api.get("websites/").json():
            assert api.delete(f"websites/{row['domain_name']}/").status_code == 204


def assert_one_truth(platform: Platform, users: dict[str, User]) -> None:
    """Database, records, runs and routes say the same of each website, once drains are over."""
    shown = {}
    for user in users.values():
        with platform.api(user) as api:
            shown.update({row["domain_name"]: row for row in api.get("websites/").json()})
    deadline = time.monotonic() + 15
    while (found := differences(platform, shown, users)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert found == []
    for domain, row in shown.items():
        label = domain.partition(".")[0]
        answer = platform.get(label)
        word = row["webapp"]["command"].split()[-1]
        found_wrong = f"{answer.status_code} {answer.headers}: {row}"
        assert answer.status_code == (200 if row["enabled"] else 503), found_wrong
        assert not row["enabled"] or answer.json()["word"] == word, found_wrong
        platform.delete(users[row["user"]], label)


def differences(platform: Platform, shown: dict[str, dict[str, object]], users: dict[str, User]) -> list[str]:
    runs = [json.loads(file.read_text()) for file in platform.paths.runs.glob("*/run.json")]
    found = []
    for label in LABELS:
        domain = f"{label}.{platform.domain}"
        record, route = platform.paths.websites / f"{domain}.json", platform.paths.routes / f"{domain}.json"
        row = shown.get(domain)
        living = [run for run in runs if run.get("website") == domain]
        told = json.loads(route.read_text()) if route.exists() else {"state": "deleted", "run": None}
        state = told["state"]
        wanted = "deleted" if row is None else "running" if row["enabled"] else "disabled"
        if (row is not None) != record.exists() or state != wanted or len(living) != (wanted == "running"):
            found.append(f"{domain}: wanted {wanted}, route {state}, {len(living)} runs, record {record.exists()}")
        if state == "running" and told["run"] not in {run["run"] for run in living}:
            found.append(f"{domain}: visitors are sent to {told['run']}, which does not run")
        found += [f"{domain}: a run of {run['tenant']}" for run in living if row and run["tenant"] != row["user"]]
    return found


# -- H8


def test_h8_keys_are_roots_alone(platform: Platform) -> None:
    """Positive control: the certificate beside a key, which is no secret, is read by nginx's user and shown to all."""
    secret = [file for file in platform.root.rglob("*") if file.is_file() and is_secret(file)]
    assert {file.name for file in secret} >= {"ca.key", "sites.key", "agent_secret", "secret_key"} - {"agent_secret"}
    ours = [file for file in secret if not file.is_relative_to(platform.paths.homes)]  # there it is the users' affair
    assert [str(file) for file in ours if file.stat().st_mode & 0o077] == []
    certificates = platform.paths.certificates
    assert read_as_nginx(certificates / "ca.pem").startswith("-----BEGIN CERTIFICATE")
    for file in ours:
        assert read_as_nginx(file) == "", file
    conf = (platform.paths.edge / "nginx.conf").read_text()
    served = re.findall(r"^\s*(?:root|alias)\s+(\S+);", conf, re.MULTILINE)
    # An empty directory, answers to challenges, and files of homes: chosen by the record, read as nginx.
    assert set(served) == {str(platform.paths.edge / "empty"), f"{platform.paths.edge}/challenges/", "$files_in"}
    assert list(Path(served[0]).iterdir()) == []


def is_secret(file: Path) -> bool:
    with file.open("rb") as opened:
        return b"PRIVATE KEY" in opened.read(4096) or file.name in ("secret_key", "agent_secret")


def read_as_nginx(file: Path) -> str:
    nginx = {"user": "www-data", "group": "www-data", "extra_groups": []}
    return subprocess.run(["cat", str(file)], capture_output=True, text=True, check=False, **nginx).stdout


def test_h8_no_key_is_in_a_tenants_sandbox(platform: Platform, alice: User) -> None:
    shown = platform.shell("alice", "grep -rl 'PRIVATE KEY' /etc /run /var /home 2>/dev/null; ls /etc/ssl/certs")
    assert shown.split() == ["ca-certificates.crt"]
    own = platform.shell("alice", "echo '-----BEGIN PRIVATE KEY-----' > k; grep -rl 'PRIVATE KEY' /home; rm k")
    assert own.split() == ["/home/alice/k"], "positive control"


# -- H9, H10

NAMES = [f"site{number}.example" for number in range(200)]


@pytest.fixture(scope="module")
def edge() -> Iterator[RunningEdge]:
    """With a certificate of its own for each of many names, each of which is a customer's secret."""
    with RunningEdge() as edge:
        for name in NAMES:
            make_certificate(edge.paths.certificates, name, name)

        async def push(publisher: object) -> None:
            for name in NAMES:
                await publisher.push_certificate(name)  # type: ignore[attr-defined]

        edge.call(push)
        yield edge


def certificate_for(edge: RunningEdge, server_name: str | None) -> x509.Certificate:
    with edge.connect(tls=server_name or "") as connection:
        shown = connection.getpeercert(binary_form=True)  # type: ignore[attr-defined]
    return x509.load_der_x509_certificate(shown)


def names_on(certificate: x509.Certificate) -> list[str]:
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return found.value.get_values_for_type(x509.DNSName)


def subject_of(certificate: x509.Certificate) -> object:
    return certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value


def test_h9_each_name_gets_its_own_certificate_every_time(edge: RunningEdge) -> None:
    """In parallel, in mixed order and letter case, and while others are replaced. Positive control: a name without one
    gets another's, which this probe sees.
    """
    asked = [name for _ in range(2) for name in sorted(NAMES, key=lambda _: secrets.token_hex(2))]
    with ThreadPoolExecutor(8) as pool:
        shown = list(pool.map(lambda name: subject_of(certificate_for(edge, name.title())), asked))
    assert shown == asked
    assert subject_of(certificate_for(edge, "nobody.example")) != "nobody.example"


@pytest.mark.parametrize("server_name", [None, "nobody.example", f"x.y.{DOMAIN}", "site1.example.org", "*.example"])
def test_h10_an_unknown_name_is_shown_no_customers(edge: RunningEdge, server_name: str | None) -> None:
    """Positive control: who names a customer's name is shown that one."""
    assert set(names_on(certificate_for(edge, server_name))) == {DOMAIN, f"*.{DOMAIN}"}
    assert names_on(certificate_for(edge, "site7.example")) == ["site7.example"]
