"""The pickle reader: right on plain data of every protocol, inert on everything else."""

from __future__ import annotations

import copyreg
import os
import pickle
import pickletools
import struct
import sys
import time
import tracemalloc
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from written_formats import dump_py2

from tutelage.data.formats.pickles import load_plain
from tutelage.errors import UserError

PIXELS = np.arange(48, dtype=np.uint8).reshape(4, 12)
CONTENT = {"data": PIXELS, "labels": [3, 0, 300, -1], "name": "x" * 300, "none": None}


def same(value, wanted) -> None:
    assert list(value) == list(wanted)
    for key, item in wanted.items():
        if isinstance(item, np.ndarray):
            assert value[key].dtype == item.dtype
            np.testing.assert_array_equal(value[key], item)
        else:
            assert value[key] == item
            assert type(value[key]) is type(item)


@pytest.mark.parametrize("protocol", range(6))
def test_python_3_with_any_protocol(protocol):
    content = {**CONTENT, "bytes": b"\x00\xff\x80", "deep": {"a": [(), (1,), (1, 2, 3, 4), 2.5]}}
    if protocol < 2:  # whose arrays take a way through copyreg that is not followed
        del content["data"]
    same(load_plain(pickle.dumps(content, protocol), "f"), content)


def test_python_2_becomes_bytes_as_the_standard_reader_has_it():
    data = dump_py2(CONTENT)
    reference = pickle.loads(data, encoding="bytes")
    assert reference[b"labels"] == [3, 0, 300, -1]
    same(load_plain(data, "f"), reference)


@pytest.mark.parametrize("module", ["numpy.core.", "numpy._core."])
def test_both_names_of_numpys_inside(module):
    data = pickle.dumps(CONTENT, 2).replace(b"numpy._core.", b"numpy.core.")
    data = data.replace(b"numpy.core.", module.encode())
    assert module.encode() in data
    same(load_plain(data, "f"), CONTENT)


@pytest.mark.parametrize("protocol", range(2, 6))
def test_other_layouts_types_and_scalars(protocol):
    content = {
        "fortran": np.asfortranarray(PIXELS),
        "strided": PIXELS[:, ::2],
        "big": np.array([1, 300], ">i4"),
        "float": np.array([0.5, -2.0], np.float32),
        "none": np.array(7),
        "labels": [np.int64(5), np.float32(0.5)],
    }
    value = load_plain(pickle.dumps(content, protocol), "f")
    assert value.pop("labels") == [5, 0.5]
    del content["labels"]
    same(value, content)


class Runs:
    """Pickled, it is a call."""

    def __init__(self, called, *arguments):
        self.called, self.arguments = called, arguments

    def __reduce__(self):
        return self.called, self.arguments


def refused(data: bytes, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        load_plain(data, "some/file")
    assert caught.value.where == "some/file"
    assert caught.value.fix


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("called", ["system", "eval", "exec", "nested", "getattr", "copyreg"])
def test_calls_are_refused_and_not_made(tmp_path, protocol, called):
    canary = tmp_path / "canary"
    code = f"open({str(canary)!r}, 'w').close()"
    hostile = {
        "system": Runs(os.system, f"touch {canary}"),
        "eval": Runs(eval, code),
        "exec": Runs(exec, code),
        "nested": [{"a": (Runs(os.system, Runs(str, f"touch {canary}")),)}],
        "getattr": Runs(getattr, 1, "real"),
        "copyreg": Path(canary),
    }[called]
    data = pickle.dumps({"data": hostile, "labels": [1]}, protocol)
    refused(data, r"wants to run [\w.]+")
    assert not canary.exists()
    if called in ("system", "eval", "exec"):
        pickle.loads(data)  # the attack is a real one
        assert canary.exists()


def test_the_message_names_what_was_wanted():
    refused(pickle.dumps(Runs(eval, "1"), 4), r"wants to run builtins\.eval.*\n.*Nothing in it was")


SHORT = {
    "persistent id": b"Pid\n.",
    "binary persistent id": b"\x80\x02K\x01Q.",
    "instance": b"(S'touch canary'\nios\nsystem\n.",
    "object": b"(cnumpy\ndtype\nS'u1'\no.",
    "new object": b"\x80\x02cnumpy\ndtype\n)\x81.",
    "new object, keywords": b"\x80\x04cnumpy\ndtype\n)}\x92.",
    "dotted name": b"\x80\x04\x8c\x05numpy\x8c\x0fdtype.__class__\x93.",
    "dotted global": b"\x80\x04cnumpy\ndtype.__init__\n.",
    "numpy's other functions": b"\x80\x02cnumpy\nload\n.",
    "numpy's submodule": b"\x80\x02cnumpy.testing._private.utils\nruncommand\n.",
    "set": b"\x80\x04\x8f.",
    "buffer out of band": b"\x80\x05\x97.",
    "build on a name": b"\x80\x02cnumpy\ndtype\n(K\x01K\x02tb.",
    "build on a list": b"\x80\x02](K\x01K\x02tb.",
    "build on a dict": b"\x80\x02}(K\x01K\x02tb.",
    "call of the array type": b"\x80\x02cnumpy\nndarray\n)R.",
    "call of a value": b"\x80\x02K\x01)R.",
    "call of a list": b"\x80\x02])R.",
    "array of another type": (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n(K\x01K\x00\x85U\x01btR."
    ),
    "array of objects": (
        b"\x80\x02cnumpy.core.multiarray\nscalar\n"
        b"cnumpy\ndtype\n(U\x02O8K\x00K\x01tRU\x08AAAAAAAA\x86R."
    ),
    "another encoding": b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x04\x00\x00\x00zlib\x86R.",
    "unhashable key": b"\x80\x02}]K\x01s.",
    "number as key": b"\x80\x02}K\x01K\x01s.",
}


@pytest.mark.parametrize("data", SHORT.values(), ids=SHORT)
def test_what_else_is_no_plain_data(data):
    refused(data, "this pickle")


def test_an_extension_that_a_program_registered(tmp_path):
    copyreg.add_extension("os", "system", 200)
    try:
        data = b"\x80\x02\x82\xc8X\x04\x00\x00\x00true\x85R."
        assert pickle.loads(data) == 0  # the attack is a real one
        refused(data, "EXT1")
    finally:
        copyreg.remove_extension("os", "system", 200)


def test_builders_keep_no_state_of_a_file():
    refused(b"\x80\x02cnumpy\ndtype\n}U\x01aK\x01sb.", "damaged|sets the inside")
    same(load_plain(dump_py2(CONTENT), "f"), pickle.loads(dump_py2(CONTENT), encoding="bytes"))


BOMBS = {
    "memo index": b"\x80\x02K\x01r\xff\xff\xff\xff.",
    "claimed bytes": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"abc.",
    "claimed bytearray": b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b"abc.",
    "claimed text": b"\x80\x04\x8d" + struct.pack("<Q", 1 << 62) + b"abc.",
    "claimed string": b"\x80\x02T\xff\xff\xff\x7fabc.",
    "negative string": b"\x80\x02T\xff\xff\xff\xffabc.",
    "claimed number": b"\x80\x02\x8b\xff\xff\xff\x7fabc.",
    "frame": b"\x80\x04\x95" + struct.pack("<Q", 1 << 62) + b"K\x01",
    "digits": b"I" + b"9" * 100_000 + b"\n.",
    "hashing": b"\x80\x02}K\x01" + b"q\x01h\x01\x86" * 60 + b"K\x01s.",
    "shape": (
        b"\x80\x05cnumpy.core.numeric\n_frombuffer\n(C\x04abcd"
        b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tRJ\xff\xff\xff\x7f\x85U\x01CtR."
    ),
    "the same text": (
        b"\x80\x02](X\x10\x27\x00\x00" + b"a" * 10_000 + b"q\x010"
        + b"c_codecs\nencode\nh\x01X\x06\x00\x00\x00latin1\x86R" * 10_000 + b"e."
    ),
}  # fmt: skip


@pytest.mark.parametrize("data", BOMBS.values(), ids=BOMBS)
def test_bombs_take_neither_time_nor_memory(data):
    tracemalloc.start()
    try:
        start = time.process_time()
        try:
            load_plain(data, "f")
        except UserError:
            pass
        else:
            assert data == BOMBS["memo index"]  # which is harmless here
        assert time.process_time() - start < 2
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_depth_is_no_recursion():
    depth = 10 * sys.getrecursionlimit()
    value = load_plain(b"\x80\x02" + b"]" * depth + b"a" * (depth - 1) + b".", "f")
    for _ in range(depth - 1):
        (value,) = value
    assert value == []


@pytest.mark.parametrize("dump", [dump_py2, lambda value: pickle.dumps(value, 4)])
def test_every_cut_is_damage(dump):
    data = dump(CONTENT)
    for length in range(len(data)):
        refused(data[:length], "damaged")
    refused(data + b"more", "damaged")


def test_an_array_that_does_not_fill_its_shape():
    data = dump_py2({"data": PIXELS})
    refused(data.replace(b"K\x04K\x0ct", b"K\x05K\x0ct"), "damaged")
    refused(data.replace(b"U\x02u1", b"U\x02i2"), "damaged")


# pickletools looks at quoted text, which Python 2 wrote at protocol 0, before anything is refused
@pytest.mark.filterwarnings("ignore:invalid escape sequence")
@settings(max_examples=400, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 255), st.integers(0, 255))
def test_any_two_changed_bytes_end_in_a_value_or_one_error(position, first, second):
    data = bytearray(dump_py2({"data": PIXELS, "labels": [1, 2]}))
    data[position % len(data)] = first
    data[(position * 7 + second) % len(data)] = second
    with suppress(UserError):
        load_plain(bytes(data), "f")


@pytest.mark.filterwarnings("ignore:invalid escape sequence")
@settings(max_examples=400, deadline=None)
@given(
    st.lists(
        st.sampled_from([code.code.encode("latin-1") for code in pickletools.opcodes])
        | st.sampled_from(
            [b"\x01", b"\x00\x00\x00\x00", b"os\nsystem\n", b"numpy\ndtype\n", b"1\n"]
        ),
        max_size=40,
    )
)
def test_any_opcodes_end_in_a_value_or_one_error(parts):
    with suppress(UserError):
        load_plain(b"".join(parts) + b".", "f")
