"""What schemathesis is told about this API, in its own process: values worth trying, and what must never be seen.

SCHEMATHESIS_HOOKS names this module, HOSTEL_FUZZ holds who fuzzes and whom it must not meet (api_fuzz.py).
"""

import atexit
import json
import os
import re
from collections import Counter
from urllib.parse import unquote, urlsplit

import schemathesis
from hypothesis import strategies as st

FUZZ = json.loads(os.environ["HOSTEL_FUZZ"])
ME, OTHER, MARK, DOMAIN = FUZZ["me"], FUZZ["other"], FUZZ["mark"], FUZZ["domain"]

OWN = [f"{ME}.{DOMAIN}", *(f"N{number}-{ME}.{DOMAIN}" for number in range(12))]
OTHERS = [f"{OTHER}.{DOMAIN}", f"kept-{OTHER}.{DOMAIN}", f"www.{DOMAIN}"] * 3
FILES = [f"home/{user}/{name}" for user in (ME, OTHER) for name in ("", "kept.txt", "a/b.txt", "../otto/kept.txt")]
FILES += ["home", "etc/passwd", "var/log", f"home/{ME}/../{OTHER}/kept.txt", f"home/{ME}/link/kept.txt"]
VARIABLES = ["WORD", "SECRET", "PATH"]
# Most end at once; the second one serves. What is generated beside them runs in the sandbox of the one who fuzzes.
COMMANDS = ["exit 3", "exec python3 answer.py", "true", "nonsense --uds $DOMAIN_SOCKET"]

_counts: Counter[str] = Counter()
_PATH = re.compile(r"/api/v\d/user/([^/]+)/")


def _often(good: list[str], generated: object) -> st.SearchStrategy[object]:
    return st.sampled_from([*good, *good, generated])


@schemathesis.hook
def flatmap_path_parameters(context, path_parameters):
    """Names that exist, one's own and the other's, beside generated ones."""
    likely = {"username": [ME, ME, ME, ME, OTHER], "domain_name": [*OWN, *OTHERS], "path": FILES, "name": VARIABLES}
    fields = {key: _often(likely.get(key, [value]), value) for key, value in path_parameters.items()}
    return st.fixed_dictionaries(fields)


@schemathesis.hook
def flatmap_body(context, body):
    if not isinstance(body, dict):
        return st.just(body)
    changes = {}
    if "domain_name" in body:
        changes["domain_name"] = _often([*OWN, OTHERS[1]], body["domain_name"])
    if "command" in body:
        changes["command"] = _often(COMMANDS, body["command"])
    webapp = body.get("webapp")
    if isinstance(webapp, dict) and "command" in webapp:
        changes["webapp"] = _often(COMMANDS, webapp["command"]).map(lambda command: {**webapp, "command": command})
    return st.fixed_dictionaries(changes).map(lambda changed: {**body, **changed})


@schemathesis.check
def no_row_of_the_other(ctx, response, case):
    """The mark stands in the other's rows alone, and whoever asks for the other's account meets a refusal."""
    assert MARK not in response.text, f"a row of {OTHER} is shown to {ME}"
    asked = _PATH.match(unquote(urlsplit(response.request.url).path))
    if asked and asked[1] != ME:
        assert response.status_code >= 400, f"{ME} is let into the account {asked[1]!r}"


@schemathesis.check
def errors_carry_their_code(ctx, response, case):
    """Every error of the panel has a code for programs; only what nginx itself refuses has none."""
    if response.status_code >= 400 and "application/json" in response.headers.get("content-type", [""])[0]:
        assert response.headers.get("hostel-error-code"), "an error without a code"


@schemathesis.hook
def after_call(context, case, response):
    phase = case.meta.phase.name.value if case.meta else "other"
    _counts[f"{case.operation.label} {phase}"] += 1


@atexit.register
def _tell_counts():
    with open(FUZZ["counts"], "w") as file:
        json.dump(_counts, file)
