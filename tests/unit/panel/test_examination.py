"""What the command doctor says of facts; that the facts are true is tests/integration/test_command_doctor.py's."""

from dataclasses import replace

import pytest

from hostel.panel.websites.examination import Case, Examination, Severity, judge
from hostel.wire.website import Listens
from hostel.wire.workshop import Answer, Facts, Import, Outcome

UVICORN = "/home/ada/v/bin/uvicorn"
FACTS = Facts(
    path=UVICORN,
    exists=True,
    is_executable=True,
    python="/home/ada/v/bin/python",
    virtualenv="/home/ada/v",
    candidates=(UVICORN,),
    has_directory=True,
    has_script=False,
    mentions_socket=False,
    mentions_port=False,
)
IMPORTED = Import(outcome=Outcome.OK, is_async=True)


def say(line: str, facts: Facts = FACTS, imported: Import | None = IMPORTED, **case: object) -> Examination:
    shown = Case(username="ada", line=line, **case)  # type: ignore[arg-type]
    return Examination(findings=tuple(judge(shown, Answer(facts=facts, imported=imported))))


def codes(said: Examination) -> list[tuple[str, str]]:
    return [(finding.code, finding.severity.value) for finding in said.findings]


def test_a_good_command_is_said_to_be_good() -> None:
    said = say(f"{UVICORN} --uds $DOMAIN_SOCKET mysite.asgi:application")
    assert codes(said) == [("virtualenv", "good"), ("listens", "good"), ("imported", "good")]
    assert (said.is_good, said.mended) == (True, "")


def test_all_that_can_be_mended_is_mended_in_one_line() -> None:
    missing = replace(FACTS, path="", exists=False, is_executable=False, virtualenv="")
    said = say("cd x && uvicorn --host 0.0.0.0 --port 8000 app:app", missing, replace(IMPORTED, is_async=False))
    assert codes(said) == [
        ("no_program", "problem"),
        ("no_socket", "problem"),
        ("imported", "good"),
        ("wrong_interface", "problem"),
    ]
    assert said.mended == f"cd x && {UVICORN} --interface wsgi --uds $DOMAIN_SOCKET app:app"
    assert say(said.mended, imported=replace(IMPORTED, is_async=False)).is_good


@pytest.mark.parametrize(
    ("line", "is_async", "code"),
    [
        ("gunicorn -b unix:$DOMAIN_SOCKET a:b", True, "wrong_interface"),
        ("gunicorn -b unix:$DOMAIN_SOCKET a:b", False, ""),
        ("gunicorn -k x -b unix:$DOMAIN_SOCKET a:b", True, ""),
        ("granian --uds $DOMAIN_SOCKET a:b", True, "wrong_interface"),
        ("daphne -u $DOMAIN_SOCKET a:b", False, "wrong_interface"),
        ("hypercorn --bind unix:$DOMAIN_SOCKET a:b", False, ""),
    ],
)
def test_a_server_speaks_its_application_s_language(line: str, is_async: bool, code: str) -> None:
    said = say(line, imported=replace(IMPORTED, is_async=is_async))
    assert [each for each, severity in codes(said) if severity == "problem"] == ([code] if code else [])


@pytest.mark.parametrize(
    "line", ["python manage.py runserver", "flask run", "fastapi dev main.py", "python -m flask run"]
)
def test_servers_for_trying_things_out_are_refused(line: str) -> None:
    assert ("development_server", "problem") in codes(say(line, imported=None))


@pytest.mark.parametrize(
    ("imported", "words"),
    [
        (Import(outcome=Outcome.NO_MODULE, name="mysite"), "no module `mysite`"),
        (Import(outcome=Outcome.NO_MODULE, name="requests"), "needs the module `requests`"),
        (Import(outcome=Outcome.NO_ATTRIBUTE), "has no `application`"),
        (Import(outcome=Outcome.RAISED, lines=("ValueError: no",)), "raises an error"),
        (Import(outcome=Outcome.KILLED), "memory"),
    ],
)
def test_a_failed_import_is_said_in_words(imported: Import, words: str) -> None:
    said = say(f"{UVICORN} --uds $DOMAIN_SOCKET mysite.asgi:application", imported=imported)
    finding = said.findings[-1]
    assert (finding.code, finding.severity) == ("not_imported", Severity.PROBLEM)
    assert words in finding.message
    assert finding.lines == imported.lines


def test_a_server_of_ports_is_sent_to_a_port() -> None:
    line = "streamlit run app.py"
    assert ("ports_only", "problem") in codes(say(line, imported=None))
    said = say(line, imported=None, listens_on=Listens.PORT)
    assert said.mended == "streamlit run --server.address 127.0.0.1 --server.port $PORT app.py"
    assert say(said.mended, imported=None, listens_on=Listens.PORT).is_good


def test_a_script_that_reads_the_variable_is_trusted() -> None:
    script = replace(FACTS, has_script=True, mentions_socket=True)
    assert say("python app.py", script, None).is_good
    said = say("python app.py", replace(script, mentions_socket=False), None)
    assert ("no_socket", "warning") in codes(said)
    assert ("no_script", "problem") in codes(say("python app.py", imported=None))
