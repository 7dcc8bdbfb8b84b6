"""Thousands of websites that sleep, without starting one: rows of the panel and the agent's own records.

Both are written by the code that the platform itself writes them with, while it is down.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from hostel.agent.website_record import WebsiteRecord, write_website
from hostel.wire.codec import parse
from hostel.wire.website import Deploy, Phase, WebsiteSpec

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from live import Platform

LIMIT = "[limits]\nuser_websites = 20000\n"
ADD = """
import json, os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "hostel.panel.settings"
import django
django.setup()
from django.db import transaction
from hostel.panel.accounts.models import User
from hostel.panel.audit.models import OPERATOR, act_as
from hostel.panel.wanted.models import current_version
from hostel.panel.websites.models import Website
from hostel.wire.codec import to_jsonable
act_as(OPERATOR)
owner, count, domain = User.objects.get(username=sys.argv[1]), int(sys.argv[2]), sys.argv[3]
wanted = {"command": "python3 answer.py", "enabled": True}
with transaction.atomic():
    for number in range(count):
        Website.objects.add(owner=owner, domain_name=f"site{number}-{owner.username}.{domain}", wanted=wanted)
epoch = current_version().epoch
print(json.dumps([to_jsonable(website.spec(epoch=epoch)) for website in owner.websites.all()]))
"""


def add_sleeping_websites(platform: Platform, username: str, count: int) -> list[str]:
    """While the platform is down. Returns their domains; they sleep from its next start on."""
    done = subprocess.run(
        [sys.executable, "-c", ADD, username, str(count), platform.domain],
        env={**os.environ, "HOSTEL_ROOT": str(platform.root)},
        stdout=subprocess.PIPE,
        check=True,
    )
    panel = platform.paths.panel.stat()
    for file in platform.paths.panel.rglob("*"):
        os.chown(file, panel.st_uid, panel.st_gid)
    specs = [parse(WebsiteSpec, message) for message in json.loads(done.stdout)]
    for spec in specs:
        deploy = Deploy(version=spec.version, phase=Phase.DONE)
        write_website(platform.paths, WebsiteRecord(spec=spec, deploy=deploy))
    return [spec.domain_name for spec in specs]
