"""The certificate authority, spoken to by ACME (RFC 8555). Blocks: everything here runs in threads of its own.

Each call has a deadline; each failure is one of `wire/certificate.py`, in words for the owner of the domain.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import requests
import structlog
from acme import challenges, client, errors, messages
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from josepy.errors import Error as JoseError
from josepy.jwa import ES256
from josepy.jwk import JWKEC

from hostel.agent.questions import Answer, Question
from hostel.agent.upload import bundle
from hostel.wire.certificate import (
    CaLimited,
    CaRefused,
    CaUnreachable,
    ChallengeBlocked,
    ChallengeUnreachable,
    DnsMissing,
    NotIssued,
)
from hostel.wire.files import write_atomically

log = structlog.get_logger()

REQUEST_DEADLINE_S = 15
ORDER_DEADLINE_S = 120.0
_ATTEMPTS = 2  # the second with a new account, where the authority has forgotten the first
_NONCE_TRIES = 5
_USER_AGENT = "hostel"
_PROBLEMS: Mapping[str, type[NotIssued]] = {
    "dns": DnsMissing,
    "connection": ChallengeUnreachable,
    "tls": ChallengeUnreachable,
    "unauthorized": ChallengeBlocked,
    "incorrectResponse": ChallengeBlocked,
    "rateLimited": CaLimited,
    "serverInternal": CaUnreachable,
}


class Authority:
    """One account with one authority. `ca_file` has the roots of one whose own HTTPS the system does not trust."""

    def __init__(self, directory: str, *, account_file: Path, email: str = "", ca_file: str = "") -> None:
        self._directory_url = directory
        self._account_file = account_file
        self._email = email
        self._ca_file = ca_file

    def issue(self, names: Sequence[str], answer: Answer, *, by_dns: bool = False) -> bytes:
        """A new certificate for `names`: chain and key, as PEM. Raises NotIssued."""
        key = ec.generate_private_key(ec.SECP256R1())
        kind = challenges.DNS01 if by_dns else challenges.HTTP01
        with _Translation():
            for attempt in range(_ATTEMPTS):
                acme = self._client(anew=attempt > 0)
                try:
                    chain = _order(acme, _csr(key, names), answer, kind)
                except messages.Error as error:
                    if error.code != "accountDoesNotExist" or attempt == _ATTEMPTS - 1:
                        raise
                else:
                    return bundle(x509.load_pem_x509_certificates(chain.encode()), key)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def find_renewal(self, chain: bytes) -> tuple[datetime | None, datetime]:
        """When the authority wants this certificate renewed (RFC 9773), None if it does not say; and when to ask again.

        Raises NotIssued.
        """
        with _Translation():
            at, ask_at = self._client().renewal_time(chain)
        return at, ask_at.astimezone(UTC)

    def _client(self, *, anew: bool = False) -> client.ClientV2:
        key, uri = self._account() if not anew else (None, None)
        if key is None:
            key = JWKEC(key=ec.generate_private_key(ec.SECP256R1()))
        net = _Network(key, alg=ES256, user_agent=_USER_AGENT, timeout=REQUEST_DEADLINE_S)
        if self._ca_file:
            net.verify_ssl = self._ca_file  # type: ignore[assignment]  # requests takes a file too
        directory = messages.Directory.from_json(net.get(self._directory_url).json())
        acme = client.ClientV2(directory, net)
        if uri is not None:
            net.account = messages.RegistrationResource(uri=uri, body=messages.Registration())
            return acme
        wanted = messages.NewRegistration.from_data(email=self._email or None, terms_of_service_agreed=True)
        account = acme.new_account(wanted)
        self._keep_account(key, account.uri)
        return acme

    def _account(self) -> tuple[JWKEC | None, str | None]:
        """None where there is none with this authority."""
        try:
            kept = json.loads(self._account_file.read_bytes())
        except FileNotFoundError:
            return None, None
        if kept["directory"] != self._directory_url:
            return None, None
        key = cast("JWKEC", JWKEC.from_json(kept["key"]))
        return key, kept["uri"]

    def _keep_account(self, key: JWKEC, uri: str) -> None:
        kept = {"directory": self._directory_url, "uri": uri, "key": key.to_json()}
        write_atomically(self._account_file, json.dumps(kept).encode(), mode=0o600)


class _Network(client.ClientNetwork):
    """Asks again where the authority refuses the nonce: some do so at random, and the library tries twice only."""

    def post(self, *args: object, **kwargs: object) -> requests.Response:
        for tries in range(_NONCE_TRIES):
            try:
                return super().post(*args, **kwargs)
            except messages.Error as error:
                if error.code != "badNonce" or tries == _NONCE_TRIES - 1:
                    raise
        raise AssertionError("unreachable: the last try returns or raises")


def _order(acme: client.ClientV2, csr: bytes, answer: Answer, kind: type[challenges.KeyAuthorizationChallenge]) -> str:
    order = acme.new_order(csr)
    deadline = datetime.now() + timedelta(seconds=ORDER_DEADLINE_S)  # noqa: DTZ005 - as the library compares it
    put: list[Callable[[], None]] = []
    try:
        for authorization in order.authorizations:
            if authorization.body.status == messages.STATUS_VALID:
                continue
            asked = next((each for each in authorization.body.challenges if isinstance(each.chall, kind)), None)
            if asked is None:
                raise CaRefused(f"The certificate authority does not ask by {kind.typ}.")
            response, validation = asked.response_and_validation(acme.net.key)
            name = authorization.body.identifier.value
            put.append(answer(Question(name, asked.chall.encode("token"), validation)))
            acme.answer_challenge(asked, response)
        return str(acme.poll_and_finalize(order, deadline).fullchain_pem)
    finally:
        for take_away in put:
            try:
                take_away()
            except NotIssued as error:  # it is answered already: no reason to give up what was issued
                log.warning("an answer to the certificate authority stays", error=str(error))


def _csr(key: ec.EllipticCurvePrivateKey, names: Sequence[str]) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
    request = builder.add_extension(alternatives, critical=False).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM)


class _Translation:
    """Errors of the library and of requests become NotIssued here, and nowhere else."""

    def __enter__(self) -> None:
        self._began = time.monotonic()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, NotIssued):
            return
        if isinstance(error, errors.ARIError) and error.__cause__ is not None:
            error = error.__cause__
        if isinstance(error, errors.ValidationError):
            raise _validation_failure(error) from error
        if isinstance(error, messages.Error):
            raise _problem(error) from error
        if isinstance(error, errors.TimeoutError | requests.RequestException | OSError):
            took_s = time.monotonic() - self._began
            raise CaUnreachable(
                f"The certificate authority did not answer ({took_s:.0f} s): {_short(error)}"
            ) from error
        if isinstance(error, errors.Error | ValueError | KeyError | JoseError):
            raise CaUnreachable(f"The certificate authority answered something odd: {_short(error)}") from error


def _validation_failure(error: errors.ValidationError) -> NotIssued:
    for authorization in error.failed_authzrs:
        for challenge in authorization.body.challenges:
            if challenge.error is not None:
                return _problem(challenge.error, name=authorization.body.identifier.value)
    return CaRefused()


def _problem(error: messages.Error, *, name: str = "") -> NotIssued:
    is_acme = error.typ != "about:blank"  # else something before the authority said it, which is down
    kind = _PROBLEMS.get(error.code or "", CaRefused) if is_acme else CaUnreachable
    return kind(f"{(kind.__doc__ or '').rstrip('.')}{f' ({name})' if name else ''}: {_short(error.detail or error)}")


def _short(error: object) -> str:
    return " ".join(str(error).split())[:400]
