"""The command doctor, with real servers in a real virtualenv: what it says, and that what it mends does serve."""

import httpx
import pytest

from live import Platform, User
from servers import install, put

DJANGO_LIKE = """
import os
assert os.environ["WORD"] == "yes", "no word"

async def application(scope, receive, send):
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"examined"})
"""


@pytest.fixture(scope="module")
def doria(platform: Platform) -> User:
    user = platform.add_user("doria")
    install(platform, user)
    platform.shell(user.name, "mkdir -p site/shop")
    put(platform, user, "site/shop/__init__.py", "")
    put(platform, user, "site/shop/asgi.py", DJANGO_LIKE)
    put(platform, user, "site/raises.py", "print('hello')\nraise ValueError('<b>broken</b>')\n")
    put(platform, user, "site/greedy.py", "hoard = bytearray(2 << 30)\n")
    put(platform, user, "site/ends.py", "import os\nos._exit(0)\n")
    return user


def check(platform: Platform, user: User, line: str, **more: str) -> dict[str, object]:
    with platform.api(user) as api:
        answer = api.post("websites/check/", json={"command": line, **more})
    assert answer.status_code == 200, answer.text
    found: dict[str, object] = answer.json()
    return found


def codes(found: dict[str, object]) -> list[tuple[str, str]]:
    return [(each["code"], each["severity"]) for each in found["findings"]]  # type: ignore[attr-defined]


def test_what_is_mended_serves(platform: Platform, doria: User) -> None:
    found = check(platform, doria, "cd site && WORD=yes uvicorn --host 0.0.0.0 --port 8000 shop.asgi:application")
    assert codes(found) == [("no_program", "problem"), ("no_socket", "problem"), ("imported", "good")]
    mended = str(found["mended"])
    assert mended == "cd site && WORD=yes /home/doria/venv/bin/uvicorn --uds $DOMAIN_SOCKET shop.asgi:application"
    created = platform.create(doria, "doria", mended)
    assert created.json()["webapp"]["state"] == "running", created.text
    assert platform.get("doria").text == "examined"
    platform.delete(doria, "doria")


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("../venv/bin/uvicorn --uds $DOMAIN_SOCKET raises:app", "not_imported", "ValueError: <b>broken</b>"),
        ("../venv/bin/uvicorn --uds $DOMAIN_SOCKET shop.wsgi:application", "not_imported", "shop.wsgi"),
        ("../venv/bin/uvicorn --uds $DOMAIN_SOCKET shop.asgi:application", "not_imported", "no word"),
        ("../venv/bin/uvicorn --uds $DOMAIN_SOCKET greedy:app", "not_imported", ""),
        ("../venv/bin/uvicorn --uds $DOMAIN_SOCKET ends:app", "not_imported", "server of its own"),
        ("../venv/bin/nonsense --uds $DOMAIN_SOCKET", "no_program", "pip install nonsense"),
        ("shop/asgi.py", "not_executable", "chmod"),
    ],
)
def test_what_is_wrong_is_said(platform: Platform, doria: User, line: str, code: str, words: str) -> None:
    found = check(platform, doria, line, working_directory="/home/doria/site")
    assert not found["is_good"]
    assert (code, "problem") in codes(found)
    assert words in str(found["findings"])


def test_a_website_s_environment_is_lent(platform: Platform, doria: User) -> None:
    line = "venv/bin/uvicorn --app-dir site --uds $DOMAIN_SOCKET shop.asgi:application"
    platform.create(doria, "env-doria", line)
    domain = f"env-doria.{platform.domain}"
    assert not check(platform, doria, line, domain_name=domain)["is_good"]
    with platform.api(doria) as api:
        api.put(f"websites/{domain}/environment/WORD/", json={"value": "yes"})
    assert check(platform, doria, line, domain_name=domain)["is_good"]
    platform.delete(doria, "env-doria")


def test_bad_questions_are_refused_in_words(platform: Platform, alice: User, doria: User) -> None:
    def ask(**body: object) -> httpx.Response:
        with platform.api(doria) as api:
            return api.post("websites/check/", json=body)

    assert ask().json() == {"command": ["This field is required."]}
    assert ask(command="x", nonsense=1).json() == {"nonsense": ["There is no such key here."]}
    assert "working_directory" in ask(command="x", working_directory="/etc").json()
    assert ask(command="x", domain_name=f"alice.{platform.domain}").status_code == 404
    assert ask(command="x", working_directory="/home/doria/gone").json()["findings"][0]["code"] == "no_directory"
