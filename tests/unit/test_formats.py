"""What the formats look like, line by line, and what they say when a layout or a row is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import combinations

import numpy as np
import orjson
import pytest

from dovestorm import formats, kernel, registry
from dovestorm.batch import ABSENT, Batch, Column, Composition, Constant, Encoding, FieldSlot, Hole, Layout, RecordKind
from dovestorm.errors import FormatError, UsageError
from dovestorm.formats.rendering import Renderer
from dovestorm.kernel import RecordTooLargeError, reference

START, END = 1_795_406_870_811_472, 1_795_406_870_811_816


@pytest.fixture(params=["chosen", "reference"])
def _both_kernels(request, monkeypatch) -> None:
    if request.param == "reference":
        monkeypatch.setattr("dovestorm.formats.rendering.Walker", reference.Walker)


def _layout(*fields: FieldSlot, width: int = 12, edition: str = "2.3.19", **changes) -> Layout:
    parts = {"categories": ("imap",), "texts": ("u001", ("a", "b")), "shapes": (("FETCH ", Hole(0, Encoding.INTEGER)),)} | changes
    return Layout(edition, "vm", (RecordKind("e", parts["categories"], fields, width),), parts["texts"], parts["shapes"])


def _batch(layout: Layout, *values: int) -> Batch:
    row = [START, END, *values, *[0] * (layout.kinds[0].width - 2 - len(values))]
    return Batch(layout, np.zeros(1, np.int32), np.zeros(1, np.int64), np.zeros(1, np.int64), np.array(row, np.int64))


def _bytes(batch: Batch, name: str, **options) -> bytes:
    return b"".join(bytes(block.data) for block in formats.renderer(name, batch.layout, **options).render(batch))


CONNECTED = RecordKind(
    "server_connection_connected",
    ("auth-client", "service:imap-login"),
    (
        FieldSlot("socket_path", Constant("login")),
        FieldSlot("remote_pid", Column(2, Encoding.INTEGER)),
        FieldSlot("remote_uid", Constant(0)),
        FieldSlot("duration", Column(3, Encoding.INTEGER)),
    ),
    4,
)


@pytest.mark.parametrize(
    ("name", "time_format", "expected"),
    [
        (
            "json",
            "unix",
            (
                b'{"event":"server_connection_connected","hostname":"vm","start_time":1795406870.811472,"end_time":1795406870.811816,'
                b'"categories":["auth-client","service:imap-login"],'
                b'"fields":{"socket_path":"login","remote_pid":30065,"remote_uid":0,"duration":322}}\n'
            ),
        ),
        (
            "tab-text",
            "rfc3339",
            (
                b"event:server_connection_connected\thostname:vm\tstart_time:2026-11-23T04:07:50.811472Z\tend_time:2026-11-23T04:07:50.811816Z"
                b"\tcategory:auth-client\tcategory:service:imap-login"
                b"\tfield:socket_path=login\tfield:remote_pid=30065\tfield:remote_uid=0\tfield:duration=322\n"
            ),
        ),
    ],
)
def test_records_look_as_a_real_server_writes_them(name, time_format, expected) -> None:
    """Source: one event of a real 2.3.19, as its http-post exporters sent it (a newline added)."""
    layout = Layout("2.3.19", "vm", (CONNECTED,), (), ())
    assert _bytes(_batch(layout, 30065, 322), name, time_format=time_format) == expected


@pytest.mark.parametrize(("edition", "shown"), [("2.3.6", b"\\u001f"), ("2.3.21", b"\\u001f"), ("2.4.0", b"\\u001F"), ("2.10.1", b"\\u001F")])
def test_json_writes_hexadecimal_as_its_edition_does(edition, shown) -> None:
    layout = _layout(FieldSlot("x", Constant("\x1f/\x7f\b\f\u2028\udc80é")), edition=edition)
    assert b'"x":"' + shown + "/\x7f\\b\\f\\u2028\ufffdé".encode() + b'"' in _bytes(_batch(layout), "json")


def test_tab_text_escapes_lists_twice() -> None:
    r"""Source: a real 2.3.19 wrote ``x\x01ty z\x01tt\x011tab`` for this list."""
    layout = _layout(FieldSlot("reason_code", Constant(("x", "y z", "t\tab"))))
    assert b"\tfield:reason_code=x\x01ty z\x01tt\x011tab\n" in _bytes(_batch(layout), "tab-text")


def test_session_id_is_the_one_that_a_real_server_showed() -> None:
    """Source: session ``PIBJ9+lgMJZ/AAAB`` of a real 2.3.19, whose event says port 38448 and address 127.0.0.1."""
    layout = _layout(FieldSlot("session", Column(2, Encoding.SESSION_ID)))
    raw = int.from_bytes(bytes.fromhex("3c8049f7e960"), "little") | 38448 << 48
    batch = _batch(layout, raw - 2**64 if raw >= 2**63 else raw, 0x7F000001)
    assert orjson.loads(_bytes(batch, "json"))["fields"] == {"session": "PIBJ9+lgMJZ/AAAB"}


@pytest.mark.usefixtures("_both_kernels")
@pytest.mark.parametrize("certain", [None, 0, 1, 2])
def test_separators_are_right_whichever_fields_lack(certain) -> None:
    """Three fields, all or all but one optional, every subset of them absent."""
    slots = tuple(FieldSlot(f"f{n}", Column(2 + n, Encoding.INTEGER, optional=n != certain)) for n in range(3))
    layout = _layout(*slots, width=5)
    for absent in (set(subset) - {certain} for size in range(4) for subset in combinations(range(3), size)):
        batch = _batch(layout, *(ABSENT if n in absent else n for n in range(3)))
        assert orjson.loads(_bytes(batch, "json"))["fields"] == {f"f{n}": n for n in range(3) if n not in absent}


@pytest.mark.usefixtures("_both_kernels")
def test_the_smallest_integer_is_a_number_where_the_column_is_not_optional() -> None:
    batch = _batch(_layout(FieldSlot("n", Column(2, Encoding.INTEGER))), ABSENT)
    assert b'"n":-9223372036854775808}' in _bytes(batch, "json")


TEXT = FieldSlot("t", Column(2, Encoding.TEXT))
TIME = FieldSlot("t", Column(2, Encoding.TIMESTAMP))
COMPOSED = FieldSlot("c", Composition((Hole(2, Encoding.TEXT),)))
SELF = Hole(0, Encoding.TEXT)
WRONG_ROWS = {
    "no such text in the layout (2)": (TEXT, (), [2]),
    "no such shape in the layout (1)": (TEXT, ("x",), [-2]),
    "no such shape in the layout (9223372036854775807)": (TEXT, ("x",), [ABSENT]),
    "its row reaches beyond the batch's values (it begins at 6)": (TEXT, ((Hole(0, Encoding.INTEGER),),), [-1]),
    "shapes call shapes too deep (shape 0), at most 16 deep is right": (TEXT, ((SELF,),), [-1] * 20),
    "too many shapes in one record (shape 0), at most 4096 is right": (TEXT, ((SELF,) * 2,), [*[-1] * 14, *[0] * 6]),
    "a list stands inside a composed text (text 1), only a plain text can": (COMPOSED, (), [1]),
    "time outside the years 1970 to 9999 (-1 microseconds)": (TIME, (), [-1]),
    "time outside the years 1970 to 9999 (253402300800000000 microseconds)": (TIME, (), [253_402_300_800_000_000]),
    "not an IPv4 address (4294967296), 0 to 4294967295 would be": (FieldSlot("a", Column(2, Encoding.ADDRESS)), (), [2**32]),
    "not an IPv4 address (-1), 0 to 4294967295 would be": (FieldSlot("s", Column(2, Encoding.SESSION_ID)), (), [0, -1]),
    "a number leaves 64 bits when its base is added (2)": (FieldSlot("c", Composition((Hole(2, Encoding.INTEGER, base=2),))), (), [2**63 - 1]),
}


@pytest.mark.usefixtures("_both_kernels")
@pytest.mark.parametrize("message", WRONG_ROWS)
@pytest.mark.parametrize("name", formats.names())
def test_a_wrong_row_is_an_error_with_its_number_and_the_reason(name, message) -> None:
    """The record before it is in order."""
    if name == "dovecot-stats" and message.startswith("its row reaches"):
        pytest.skip("its rows are wider, so that a shape which reads beyond its own columns still reads the row's")
    slot, shapes, values = WRONG_ROWS[message]
    width = 2 + len(values)
    rows = [START, END, *[0] * len(values), START, END, *values]
    layout = _layout(slot, width=width, shapes=shapes)
    batch = Batch(layout, np.zeros(2, np.int32), np.array([0, width]), np.zeros(2, np.int64), np.array(rows))
    with pytest.raises(FormatError) as caught:
        _bytes(batch, name)
    assert str(caught.value) == f"record 1: {message}"


@pytest.mark.usefixtures("_both_kernels")
@pytest.mark.parametrize(("kind", "offset"), [(1, 0), (-1, 0), (0, -1), (0, 1), (0, 2**62)])
def test_a_record_outside_its_batch_is_an_error(kind, offset) -> None:
    layout = _layout(FieldSlot("n", Column(2, Encoding.INTEGER)), width=3)
    batch = Batch(layout, np.array([kind], np.int32), np.array([offset]), np.zeros(1, np.int64), np.array([START, END, 1]))
    with pytest.raises(FormatError, match=r"record 0: (no such record kind|its row reaches beyond)"):
        formats.renderer("json", layout).render_into(batch, 0, np.zeros(1000, np.uint8), np.zeros(1, np.int64))


@pytest.mark.usefixtures("_both_kernels")
def test_rendering_stops_before_the_record_that_does_not_fit_and_says_so_if_it_is_the_first() -> None:
    layout = _layout(FieldSlot("n", Column(2, Encoding.INTEGER)), width=3)
    one = np.array([START, END, 1])
    batch = Batch(layout, np.zeros(3, np.int32), np.array([0, 3, 6]), np.zeros(3, np.int64), np.tile(one, 3))
    renderer = formats.renderer("json", layout)
    size = len(_bytes(batch, "json")) // 3
    ends = np.zeros(3, np.int64)
    assert renderer.render_into(batch, 0, np.zeros(3 * size, np.uint8), ends) == (3, 3 * size)
    assert renderer.render_into(batch, 0, np.zeros(3 * size - 1, np.uint8), ends) == (2, 2 * size)
    assert renderer.render_into(batch, 2, np.zeros(3 * size, np.uint8), ends) == (1, size)
    assert renderer.render_into(batch, 3, np.zeros(3 * size, np.uint8), ends) == (0, 0)
    assert renderer.render_into(batch, 0, np.zeros(3 * size, np.uint8), ends[:2]) == (2, 2 * size)
    for out, slots in ((size - 1, 3), (0, 3), (size, 0)):
        with pytest.raises(RecordTooLargeError, match=r"record 1: does not fit in the buffer \(\d+ bytes\), a larger one is needed"):
            renderer.render_into(batch, 1, np.zeros(out, np.uint8), ends[:slots])
    for first in (-1, 4):
        with pytest.raises(FormatError, match="cannot be the first"):
            renderer.render_into(batch, first, np.zeros(size, np.uint8), ends)


WRONG_LAYOUTS = {
    "e: field 'n' reads column 12, the row has 12": FieldSlot("n", Column(12, Encoding.INTEGER)),
    "e: field 's' reads column 12, the row has 12": FieldSlot("s", Column(11, Encoding.SESSION_ID)),
    "e: field 'c' reads column -1, the row has 12": FieldSlot("c", Composition((Hole(-1, Encoding.TEXT),))),
    "a hole takes 0 bits": FieldSlot("c", Composition((Hole(2, Encoding.INTEGER, bits=0),))),
    "shifts by 64 bits": FieldSlot("c", Composition((Hole(2, Encoding.INTEGER, shift=64, bits=3),))),
    "a hole cannot be of encoding <Encoding.SESSION_ID": FieldSlot("c", Composition((Hole(2, Encoding.SESSION_ID),))),
    r"field 'n': cannot be rendered \(Constant\(value=9223372036854775808": FieldSlot("n", Constant(2**63)),
    r"field 'n': cannot be rendered \(Constant\(value=None": FieldSlot("n", Constant(None)),
}


@pytest.mark.parametrize("message", WRONG_LAYOUTS)
@pytest.mark.parametrize("name", formats.names())
def test_a_wrong_layout_is_refused_when_it_is_compiled(name, message) -> None:
    with pytest.raises(FormatError, match=message):
        formats.renderer(name, _layout(WRONG_LAYOUTS[message]))


def test_a_row_without_times_is_refused() -> None:
    with pytest.raises(FormatError, match="e: a row of 1 integers has no place for start and end time"):
        formats.renderer("json", _layout(width=1))


def test_a_renderer_takes_batches_of_its_own_layout_or_an_equal_one_only() -> None:
    renderer = formats.renderer("json", _layout())
    assert list(renderer.render(_batch(_layout())))
    with pytest.raises(FormatError, match="batch: its layout is not the one that this json renderer was made for"):
        list(renderer.render(_batch(_layout(texts=("other",)))))


def test_blocks_say_when_each_record_is_due_and_what_they_hold() -> None:
    (block,) = formats.renderer("json", _layout()).render(_batch(_layout()))
    assert (block.due.tolist(), block.terminator, block.content_type, len(block)) == ([END], 1, "application/json", 1)
    renderers = {name: formats.renderer(name, _layout()) for name in formats.names()}
    assert {name: renderer.terminator for name, renderer in renderers.items()} == {"dovecot-stats": 1, "json": 1, "tab-text": 1, "msgpack": 0}


def test_formats_are_those_of_the_registry() -> None:
    assert {name: entry.module for name, entry in registry.FORMATS.items()} == {
        name: f"dovestorm.formats.{name.replace('-', '_')}" for name in formats.names()
    }
    assert all(isinstance(formats.renderer(name, _layout()), Renderer) for name in formats.names())


def test_unknown_names_are_usage_errors_that_offer_the_nearest() -> None:
    with pytest.raises(UsageError, match="unknown format 'jsn', did you mean 'json'"):
        formats.renderer("jsn", _layout())
    with pytest.raises(UsageError, match="unknown time format 'unx', did you mean 'unix'"):
        formats.renderer("json", _layout(), time_format="unx")


def test_the_environment_chooses_the_kernel() -> None:
    assert kernel.implementation() in {"cython", "reference"}
    program = "from dovestorm import kernel; print(kernel.implementation(), kernel.Walker.__module__)"
    run = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | {"DOVESTORM_KERNEL": "reference"}, capture_output=True, text=True, check=True
    )
    assert run.stdout == "reference dovestorm.kernel.reference\n"
    wrong = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | {"DOVESTORM_KERNEL": "refrence"}, capture_output=True, text=True, check=False
    )
    assert "unknown kernel 'refrence'" in wrong.stderr
