"""K1: a tenant who fills the disk. K6, a full disk under the panel, is in integration/test_wanted_state.py.

Where the file system has no quotas a home is measured and its owner gets no more; see `hostel doctor`.
"""

from live import Platform, answering
from sandboxed import run
from waiting import until


def disk_mb(platform: Platform, name: str) -> int | None:
    from hostel.cli.agent import Agent

    (tenant,) = [tenant for tenant in Agent(platform.paths).usage().tenants if tenant.name == name]
    return tenant.disk.used_bytes >> 20 if tenant.disk else None


def test_k1_who_fills_the_disk_gets_no_more_of_it_from_the_platform(platform: Platform) -> None:
    walter = platform.add_user("walter")
    platform.hostel(
        "shell", "walter", "--", "bash", "-c", "cat > answer.py; head -c 12M /dev/zero > big; ln -s / root",
        stdin=(answer_py()),
    )  # fmt: skip
    assert platform.create(walter, "walter", answering("serves")).status_code == 201
    until(lambda: disk_mb(platform, "walter") == 12, what="the home is measured")
    platform.hostel("user", "limits", "walter", "disk_mb=5")
    refused = platform.create(walter, "two-walter", answering())
    assert (refused.status_code, refused.json()["code"]) == (403, "limit_disk")
    assert "12 MiB of 5 (limit `disk_mb`)" in refused.json()["detail"]
    assert "hostel user limits walter disk_mb=" in refused.json()["detail"]
    with platform.api(walter) as api:
        assert api.get(f"websites/two-walter.{platform.domain}/").status_code == 404, "nothing is left of it"
    assert platform.get("walter").json()["word"] == "serves", "what serves visitors goes on"
    console = platform.hostel("shell", "walter", "--", "rm", "big")
    assert "12 MiB of 5 (limit `disk_mb`)" in console.stderr, "a console opens: nowhere else can files be removed"
    platform.hostel("user", "limits", "walter", "disk_mb=default")
    assert platform.create(walter, "two-walter", answering()).status_code == 201, "where the limit is higher"
    platform.delete(walter, "two-walter")
    platform.delete(walter, "walter")


def test_k1_a_file_larger_than_the_disk_is_refused_by_the_kernel(platform: Platform) -> None:
    """Control: a file of a reasonable size."""
    script = "fallocate -l 100T x; echo $?; fallocate -l 1M y; echo $?; rm -f x y"
    assert run(platform, "walter", ("/bin/bash", "-c", script)).stdout.split() == ["1", "0"]


def answer_py() -> str:
    from live import ANSWER

    return ANSWER.read_text()
