"""What is read from a website's command, and how it is mended: to the byte, whatever stands around."""

import pytest

from hostel.panel.websites.command import read_command, with_option, with_program, with_socket

HOME = "/home/ada"


@pytest.mark.parametrize(
    ("line", "program", "server", "application", "directory"),
    [
        ("/v/bin/uvicorn --uds $DOMAIN_SOCKET mysite.asgi:application ", "/v/bin/uvicorn", "uvicorn",
         "mysite.asgi:application", ""),
        ("cd mysite && exec env A=1 B='2 3' ~/v/bin/uvicorn app:app", "/home/ada/v/bin/uvicorn", "uvicorn", "app:app",
         "mysite"),
        ("cd ${HOME}/x; $HOME/v/bin/python -m uvicorn app:app --port 8000", "/home/ada/v/bin/python", "uvicorn",
         "app:app", "/home/ada/x"),
        ("gunicorn -w 2 mysite.wsgi", "gunicorn", "gunicorn", "mysite.wsgi", ""),
        ("gunicorn -b 127.0.0.1:8000 -k uvicorn.workers.UvicornWorker a:b", "gunicorn", "gunicorn", "a:b", ""),
        ('hypercorn --bind "unix:${DOMAIN_SOCKET}" a:b', "hypercorn", "hypercorn", "a:b", ""),
        ("python3 app.py", "python3", "", "", ""),
        ("", "", "", "", ""),
    ],
)  # fmt: skip
def test_what_a_line_starts(line: str, program: str, server: str, application: str, directory: str) -> None:
    command = read_command(line, home=HOME)
    assert (command.program.text if command.program else "") == program
    assert (command.server_name, command.application, command.directory) == (server, application, directory)
    assert command.is_understood


@pytest.mark.parametrize("line", ["a | b", "a || b", "(a)", "a $(b)", "a `b`", "a > b", "a &", "a 'b"])
def test_what_only_bash_understands_is_left_to_it(line: str) -> None:
    assert not read_command(line, home=HOME).is_understood


@pytest.mark.parametrize(
    ("line", "mended"),
    [
        ("cd x  && uvicorn --host 0.0.0.0 --port 8000 a:b ", "cd x  && uvicorn --uds $DOMAIN_SOCKET a:b "),
        ("uvicorn a:b --port=80", "uvicorn --uds $DOMAIN_SOCKET a:b"),
        ("uvicorn a:b --uds /tmp/x.sock --workers 2", "uvicorn --uds $DOMAIN_SOCKET a:b --workers 2"),
        ("v/bin/python -m uvicorn a:b", "v/bin/python -m uvicorn --uds $DOMAIN_SOCKET a:b"),
        ("gunicorn -b0.0.0.0:80 --bind :81 a:b", "gunicorn --bind unix:$DOMAIN_SOCKET a:b"),
        ("daphne -p 8000 a:b", "daphne -u $DOMAIN_SOCKET a:b"),
        ("granian --interface asgi --port 1 a:b", "granian --uds $DOMAIN_SOCKET --interface asgi a:b"),
        ("hypercorn a:b", "hypercorn --bind unix:$DOMAIN_SOCKET a:b"),
    ],
)
def test_a_server_is_told_to_listen_on_the_socket(line: str, mended: str) -> None:
    command = read_command(line, home=HOME)
    assert with_socket(command) == mended
    again = read_command(mended, home=HOME)
    assert with_socket(again) == mended, "what is right stays as it is"


def test_a_server_of_ports_is_told_the_port() -> None:
    command = read_command("streamlit run app.py --server.port 8501", home=HOME)
    assert command.script == "app.py"
    assert with_socket(command) is None
    expected = "streamlit run --server.address 127.0.0.1 --server.port $PORT app.py"
    assert with_socket(command, port=True) == expected


def test_only_the_program_is_replaced() -> None:
    command = read_command("cd 'my site' && A=uvicorn uvicorn  app:app", home=HOME)
    assert with_program(command, "/home/ada/v/bin/uvicorn") == (
        "cd 'my site' && A=uvicorn /home/ada/v/bin/uvicorn  app:app"
    )
    assert command.environment == {"A": "uvicorn"}
    assert command.directory == "my site"


def test_an_option_is_added_behind_the_program() -> None:
    assert with_option(read_command("uvicorn a:b", home=HOME), "--interface wsgi") == "uvicorn --interface wsgi a:b"


def test_an_activated_virtualenv_is_seen() -> None:
    command = read_command("source ~/.virtualenvs/v/bin/activate && uvicorn a:b", home=HOME)
    assert command.virtualenv == "/home/ada/.virtualenvs/v"
