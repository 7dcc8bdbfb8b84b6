"""Answers to a certificate authority in the DNS (DNS-01): by an update (RFC 2136), or by a program of the operator's.

Blocks, with deadlines: runs in the threads of `acme.py`.
"""

import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import dns.exception
import dns.name
import dns.query
import dns.rcode
import dns.tsig
import dns.update

from hostel.agent.questions import Answer, Question
from hostel.wire.certificate import NotIssued
from hostel.wire.config import CertificatesConfig, parse_resolver

_UPDATE_DEADLINE_S = 10.0
_HOOK_DEADLINE_S = 120.0
_TTL_S = 60
_WORD = r'"?([^"\s{};]+)"?'
_KEY = re.compile(rf"key\s+{_WORD}\s*\{{\s*algorithm\s+{_WORD}\s*;\s*secret\s+{_WORD}\s*;\s*\}}\s*;")


def answer_by_dns(config: CertificatesConfig, *, sites_domain: str) -> Answer:
    change = _change_by_hook(config.dns_hook) if config.dns_hook else _change_by_update(config, sites_domain)

    def answer(question: Question) -> Callable[[], None]:
        name = f"_acme-challenge.{question.name.removeprefix('*.')}"
        change("add", name, question.answer)
        time.sleep(config.dns_wait_s)
        return lambda: change("remove", name, question.answer)

    return answer


def _change_by_hook(program: str) -> Callable[[str, str, str], None]:
    def change(deed: str, name: str, text: str) -> None:
        try:
            done = subprocess.run(
                [program, deed, name, text], capture_output=True, text=True, timeout=_HOOK_DEADLINE_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NotIssued(f"The program for the DNS, {program}, did not do its work: {error}") from error
        if done.returncode != 0:
            said = f"{done.stdout}{done.stderr}".strip()[-300:]
            raise NotIssued(f"The program for the DNS, {program} {deed}, ended with {done.returncode}: {said}")

    return change


def _change_by_update(config: CertificatesConfig, sites_domain: str) -> Callable[[str, str, str], None]:
    address, port = parse_resolver(config.dns_server)
    zone = dns.name.from_text(config.dns_zone or sites_domain)

    def change(deed: str, name: str, text: str) -> None:
        try:
            update = dns.update.UpdateMessage(zone)
            if config.dns_key_file:
                update.use_tsig(_read_key(Path(config.dns_key_file)))
            record = dns.name.from_text(name).relativize(zone)
            if deed == "add":
                update.add(record, _TTL_S, "TXT", text)
            else:
                update.delete(record, "TXT", text)
            response = dns.query.tcp(update, address, timeout=_UPDATE_DEADLINE_S, port=port)
        except (dns.exception.DNSException, OSError, EOFError, ValueError) as error:
            raise NotIssued(f"The DNS server {config.dns_server} did not take an update: {error!r}") from error
        if response.rcode() != dns.rcode.NOERROR:
            said = dns.rcode.to_text(response.rcode())
            raise NotIssued(f"The DNS server {config.dns_server} refused an update of {zone}: {said}")

    return change


def _read_key(file: Path) -> dns.tsig.Key:
    """Raises OSError or ValueError."""
    found = _KEY.search(file.read_text())
    if found is None:
        raise ValueError(f"{file}: expected a key as `tsig-keygen` writes it")
    name, algorithm, secret = found.groups()
    return dns.tsig.Key(name, secret, algorithm)
