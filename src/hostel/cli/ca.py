"""`hostel ca`: the installation's own certificate authority, and how to trust it."""

import typer

from hostel.cli.command import DEFAULT_ROOT, Command, RootOption, say
from hostel.cli.errors import CommandFailed, hostel
from hostel.wire.config import read_config
from hostel.wire.paths import Paths

app = typer.Typer()

HOW_TO_TRUST = """\
This authority signs for {domain} and the names below it, and for nothing else. To trust it:

  Debian, all programs:  cp {file} /usr/local/share/ca-certificates/hostel.crt && update-ca-certificates
  Firefox:               Settings > Privacy & Security > Certificates > View Certificates > Authorities > Import
  Chromium:              Settings > Privacy and security > Security > Manage certificates > Authorities > Import
  curl:                  curl --cacert {file} https://{host}/
  Python requests, pa:   export REQUESTS_CA_BUNDLE={file}
  Python httpx:          export SSL_CERT_FILE={file}

Check the file you copied elsewhere: openssl x509 -in FILE -noout -fingerprint -sha256"""


@app.command(cls=Command)
def ca(root: RootOption = DEFAULT_ROOT) -> None:
    """Print the path of the certificate authority's file, and how to trust it.

    The path goes to standard output, the explanation to standard error: curl --cacert "$(hostel ca 2>/dev/null)" ...
    """
    paths = Paths(root)
    file = paths.certificates / "ca.pem"
    if not file.is_file():
        hint = f"`{hostel(root)} up` makes it at its first start"
        raise CommandFailed(f"{file} does not exist yet", hint=hint)
    print(file, flush=True)
    config = read_config(paths.config_file)
    host = config.authority(config.panel_host)
    say(HOW_TO_TRUST.format(domain=config.sites.domain, file=file, host=host))
