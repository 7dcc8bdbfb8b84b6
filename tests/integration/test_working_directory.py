"""A command is run where its owner wants it, by its own shell and as its owner."""

from live import Platform, User, answering

LABEL = "wd-alice"


def test_a_command_runs_in_its_working_directory(platform: Platform, alice: User) -> None:
    platform.shell("alice", "mkdir -p 'a dir'; cp answer.py 'a dir/served.py'; mkdir -m 0 closed")
    command = "pwd > where; echo $0 $# > called; exec python3 served.py here"
    try:
        made = platform.create(alice, LABEL, command, working_directory="/home/alice/a dir")
        assert made.json()["webapp"]["state"] == "running"
        assert platform.get(LABEL).json()["word"] == "here"
        assert platform.shell("alice", "cat 'a dir/where' 'a dir/called'") == "/home/alice/a dir\n/bin/bash 0\n"
        run = platform.get(LABEL).json()["run"]
        path = f"websites/{LABEL}.{platform.domain}/"
        with platform.api(alice) as api:
            for wrong, words in (("gone", "No such file or directory"), ("closed", "Permission denied")):
                sent = {"webapp": {"working_directory": f"/home/alice/{wrong}"}}
                failed = api.patch(path, json=sent).json()["webapp"]
                assert (failed["state"], failed["deploy"]["phase"]) == ("running", "failed")
                assert words in failed["deploy"]["stderr"][-1]
            assert platform.get(LABEL).json()["run"] == run  # what served goes on
            sent = {"webapp": {"working_directory": "", "command": answering("home")}}
            assert api.patch(path, json=sent).json()["webapp"]["deploy"]["phase"] != "failed"
        assert platform.get(LABEL).json()["word"] == "home"
    finally:
        platform.delete(alice, LABEL)
