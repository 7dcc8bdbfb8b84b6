"""B2 and B12 to B15 from `nginx -T`: what each location that sends requests to websites has in force."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from edge_fixtures import RunningEdge

from hostel.edge.__main__ import prepare
from hostel.edge.configure import find_nginx

WHITESPACE = " \t\r\n"


def tokens(text: str) -> Iterator[tuple[bool, str]]:
    """The words of a configuration (True), and `{`, `}` and `;` (False). A block of Lua is one word."""
    position = 0
    word: str | None = None
    while position < len(text):
        char = text[position]
        if char == "#" and word is None:
            position = text.index("\n", position)
        elif char in "\"'" and word is None:
            end = position + 1
            while text[end] != char:
                end += 2 if text[end] == "\\" else 1
            word, position = text[position + 1 : end], end
        elif char in WHITESPACE or char in "{};":
            if word is not None:
                yield True, word
                if word.endswith("_by_lua_block"):
                    start = text.index("{", position)
                    position = end_of_lua(text, start)
                    yield True, text[start : position + 1]
                    char = ";"
                word = None
            if char in "{};":
                yield False, char
        else:
            word = (word or "") + char
        position += 1


def end_of_lua(text: str, start: int) -> int:
    """Where the `}` is that closes the `{` at `start`. The blocks in question hold no braces in strings."""
    depth = 0
    for position in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return position
    raise AssertionError("an unclosed block of Lua")


@dataclass
class Block:
    words: tuple[str, ...]
    parent: "Block | None" = None
    directives: list[tuple[str, ...]] = field(default_factory=list)
    blocks: list["Block"] = field(default_factory=list)

    def effective(self, name: str) -> list[tuple[str, ...]]:
        """The arguments of `name` as nginx inherits them: those of the innermost level that has any, and no others."""
        own = [words[1:] for words in self.directives if words[0] == name]
        return own or (self.parent.effective(name) if self.parent else [])

    def all_blocks(self) -> Iterator["Block"]:
        yield self
        for block in self.blocks:
            yield from block.all_blocks()


def parse(text: str) -> Block:
    block = Block(("main",))
    words: list[str] = []
    for is_word, token in tokens(text):
        if is_word:
            words.append(token)
            continue
        if token == ";":
            block.directives.append(tuple(words))
        elif token == "{":
            block.blocks.append(Block(tuple(words), parent=block))
            block = block.blocks[-1]
        else:
            assert not words
            assert block.parent is not None
            block = block.parent
        words = []
    assert block.parent is None, "an unclosed block"
    return block


IGNORED = {"X-Accel-Redirect", "X-Accel-Expires", "X-Accel-Limit-Rate", "X-Accel-Charset"}
SET_HEADERS = {
    ("Host", "$site_host"),
    ("Connection", "$connection_header"),
    ("Upgrade", "$websocket"),
    ("X-Forwarded-For", "$remote_addr"),
    ("X-Real-IP", "$remote_addr"),
    ("X-Forwarded-Proto", "$visitor_scheme"),
    ("X-Forwarded-Host", "$site_host"),
    ("X-Forwarded-Port", ""),
    ("Forwarded", ""),
    ("Proxy", ""),
}
# Requests and responses, in the locations for those who want it otherwise.
BUFFERING = {
    "on_responses_on": ("on", "on"),
    "off_responses_off": ("off", "off"),
    "off_responses_on": ("off", "on"),
}
SINGLE = {
    "proxy_max_temp_file_size": ("0",),
    "proxy_next_upstream": ("off",),
    "proxy_redirect": ("off",),
    "proxy_http_version": ("1.1",),
    "client_max_body_size": ("100m",),
    "client_header_timeout": ("20s",),
    "client_body_timeout": ("60s",),
    "send_timeout": ("60s",),
    "limit_conn": ("address", "1024"),
    "header_filter_by_lua_block": ('{ require("hostel.header_filter")() }',),
    "log_by_lua_block": ('{ require("hostel.log")() }',),
}

ACCESS_LOGS = [
    ("/$site_log", "website", "if=$site_log"),
    ("/$panel_log", "panel", "if=$panel_log"),
]


def proxying(main: Block) -> list[Block]:
    return [block for block in main.all_blocks() if any(words[0] == "proxy_pass" for words in block.directives)]


def find_faults(main: Block) -> list[str]:
    """What is not as it must be, in which location."""
    faults = []
    for location in proxying(main):
        wanted_buffering = BUFFERING.get(location.words[1].removeprefix("@requests_"), ("on", "off"))
        names = ("proxy_request_buffering", "proxy_buffering")
        buffering = tuple(word for name in names for words in location.effective(name) for word in words)
        if buffering != wanted_buffering:
            faults.append(f"{location.words}: buffers {buffering}")
        ignored = {name for words in location.effective("proxy_ignore_headers") for name in words}
        if not ignored >= IGNORED:
            faults.append(f"{location.words}: proxy_ignore_headers lacks {sorted(IGNORED - ignored)}")
        if (headers := set(location.effective("proxy_set_header"))) != SET_HEADERS:
            faults.append(f"{location.words}: proxy_set_header differs in {sorted(headers ^ SET_HEADERS)}")
        for name, wanted in SINGLE.items():
            if (found := location.effective(name)) != [wanted]:
                faults.append(f"{location.words}: {name} is {found}")
        if (logs := location.effective("access_log")) != ACCESS_LOGS:
            faults.append(f"{location.words}: access_log is {logs}")
    return faults


@pytest.fixture(scope="module")
def dumped() -> str:
    """What `nginx -T` shows of the configuration that the edge would start with."""
    edge = RunningEdge()
    try:
        prepare(edge.paths)
        command = [find_nginx(), "-T", "-q", "-c", str(edge.paths.edge / "nginx.conf")]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    finally:
        edge.close()


def test_b2_every_location_that_proxies_has_the_whole_set(dumped: str) -> None:
    main = parse(dumped)
    locations = proxying(main)
    names = ["/", "@hold", "@spread", *(f"@requests_{pair}" for pair in BUFFERING)]
    assert sorted(block.words[1] for block in locations) == sorted(2 * names)  # HTTP and HTTPS
    assert all(block.parent and block.parent.words == ("server",) for block in locations)
    assert find_faults(main) == []
    assert main.effective("worker_rlimit_nofile") >= [("1024",)]


MUTATIONS = {
    "a header ignored by one location, which then ignores none of the others": (
        "location @spread {",
        "location @spread {\n proxy_ignore_headers Vary;",
        "proxy_ignore_headers X-Accel-Redirect X-Accel-Expires X-Accel-Limit-Rate X-Accel-Charset;\n",
    ),
    "a location that proxies": ("location @spread {", "location /x { proxy_pass x; }\nlocation @spread {", ""),
    "a header that is not cleared": ("proxy_set_header Forwarded \"\";", "", ""),
    "one header more": ("proxy_redirect off;", "proxy_redirect off; proxy_set_header X-Secret 1;", ""),
    "temporary files": ("proxy_max_temp_file_size 0;", "", ""),
    "retries": ("proxy_next_upstream off;", "proxy_next_upstream error;", ""),
    "the filter of headers": ("header_filter_by_lua_block", "body_filter_by_lua_block", ""),
    "a log path from the Host": ("access_log /$site_log", "access_log /logs/$host", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTATIONS)
def test_b2_control_a_mutated_configuration_is_caught(dumped: str, name: str) -> None:
    old, new, dropped = MUTATIONS[name]
    assert old in dropped + dumped
    mutated = dumped.replace(old, new, 1)
    if dropped:
        before, after = mutated.split(new, 1)
        mutated = before + new + after.replace(dropped, "", 1)
    assert find_faults(parse(mutated)) != []


def test_the_parser_reads_what_nginx_reads() -> None:
    main = parse('a 1; # c {\nb { c "x;y" \'{\' "q\\"r"; d_by_lua_block { f{1} } e; }\n')
    assert main.directives == [("a", "1")]
    (inner,) = main.blocks
    assert inner.directives == [("c", "x;y", "{", 'q\\"r'), ("d_by_lua_block", "{ f{1} }"), ("e",)]
    assert inner.effective("a") == [("1",)]
