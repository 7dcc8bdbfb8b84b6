"""Folding and drawing perf's stacks (bench/flame_graph.py)."""

from xml.etree import ElementTree

from flame_graph import draw, find_part, fold, shares

STACKS = """\
\tffffffff81e2eed9 sock_write_iter ([kernel.kallsyms])
\t           fde60 __GI___writev (/usr/lib/x86_64-linux-gnu/libc.so.6)
\t           85cfe [unknown] (/usr/sbin/nginx)
\t           85cff [unknown] (/usr/sbin/nginx)
\t           48445 ngx_process_events_and_timers (/usr/sbin/nginx)
\t           25430 _start (/usr/sbin/nginx)

\t           48445 ngx_process_events_and_timers (/usr/sbin/nginx)
\t           25430 _start (/usr/sbin/nginx)

\t           171bf std::<lambda>(int) (/usr/lib/nginx/modules/ngx_http_lua_module.so)
\t    7fe4e32dbb91 [unknown] (/tmp/perf-19296.map)

"""


def test_stacks_are_folded_above_the_root_with_unnamed_functions_in_a_row_as_one():
    tree = fold(STACKS, root="ngx_process_events_and_timers")
    assert tree.samples == 3
    root = tree.callees["ngx_process_events_and_timers", "nginx"]
    assert (root.samples, tree.callees["[compiled Lua]", "compiled Lua"].samples) == (2, 1)
    (unnamed,) = root.callees.values()
    (called,) = unnamed.callees.values()
    assert (unnamed.name, called.name, [*called.callees]) == (
        "[nginx]",
        "__GI___writev",
        [("sock_write_iter", "kernel")],
    )


def test_time_belongs_to_the_part_whose_own_code_ran():
    own = shares(fold(STACKS, root="ngx_process_events_and_timers"))
    assert {part: round(share * 3) for part, share in own.items() if share} == {
        "kernel": 1,
        "nginx": 1,
        "Lua module": 1,
    }
    assert (find_part("[nf_tables]"), find_part("[vdso]"), find_part("/lib/libz.so.1")) == ("kernel", "other", "other")


def test_the_picture_is_one_well_formed_file_with_escaped_names_and_the_time_of_each_frame():
    text = draw(fold(STACKS, root="ngx_process_events_and_timers"), "a < b", "said", whole_us=30.0)
    hints = [title.text for title in ElementTree.fromstring(text).iter("{http://www.w3.org/2000/svg}title")]
    assert "std::<lambda>(int) (Lua module): 33.3%, 10.00 µs" in hints
    assert "<script" not in text
    assert text.count("http") == 1  # the name of SVG itself: nothing is fetched
