"""Opening a store: what is made, what is refused and in which words, and how fast."""

from __future__ import annotations

import errno
import json
import os
import pickle
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tutelage.errors import StorageError, UserError
from tutelage.store import Record, Store, atomic_write


@contextmanager
def unprivileged() -> Iterator[None]:
    """Without the rights of root, which no permission bit stops."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that every user may enter; those that pytest makes are private."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755)


def test_a_store_is_made_and_opened_again(tmp_path: Path):
    root = tmp_path / "some" / "where"
    assert Store.open(root).root == root
    assert json.loads((root / "FORMAT").read_text()) == {"format": 1}
    assert Store.open(str(root), create=False).root == root
    assert [path.name for path in root.iterdir()] == ["FORMAT"]


def test_the_root_does_not_move_with_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    store = Store.open("here")
    assert store.root == tmp_path / "here"
    assert pickle.loads(pickle.dumps(store)).root == store.root


@pytest.mark.parametrize("there", [False, True])
def test_missing_and_not_to_be_made(tmp_path: Path, there: bool):
    root = tmp_path / "none"
    if there:
        root.mkdir()
    with pytest.raises(UserError, match="there is no store here") as caught:
        Store.open(root, create=False)
    assert caught.value.where == str(root)
    assert root.exists() == there


def test_a_file_is_no_store(tmp_path: Path):
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(UserError, match="this is a file; a store is a folder") as caught:
        Store.open(file)
    assert caught.value.where == str(file)
    with pytest.raises(UserError, match="a part of this path is a file, not a folder"):
        Store.open(file / "below" / "it")
    with pytest.raises(UserError, match="a part of this path is a file, not a folder"):
        Store.open(file / "below", create=False)
    assert file.read_text() == "mine"


@pytest.mark.parametrize("create", [False, True])
def test_a_newer_format_is_refused(store: Store, create: bool):
    (store.root / "FORMAT").write_text('{"format": 2}')
    with pytest.raises(UserError, match=r"format 2; this version of tutelage knows format 1") as e:
        Store.open(store.root, create=create)
    assert e.value.where == str(store.root / "FORMAT")
    assert "newer tutelage" in (e.value.fix or "")


@pytest.mark.parametrize("text", ["", "1", "[]", '{"format": "1"}', '{"format": 0}', "{}", "\xff"])
def test_a_format_that_says_nothing_is_refused(store: Store, text: str):
    (store.root / "FORMAT").write_bytes(text.encode("latin1"))
    with pytest.raises(UserError, match="does not say what format"):
        Store.open(store.root)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
def test_where_no_folder_can_be_made():
    with pytest.raises(UserError, match=r"/proc/none.*cannot be made"):
        Store.open("/proc/none/store")


def test_a_folder_without_permission_to_write(shared: Path, record: Record):
    store = Store.open(shared / "store")
    store.put(record)
    store.root.chmod(0o555)
    shared.chmod(0o555)
    with unprivileged():
        with pytest.raises(UserError, match="permission is denied") as caught:
            Store.open(store.root)
        assert caught.value.where == str(store.root)
        with pytest.raises(UserError, match="permission is denied"):
            Store.open(shared / "other")
        with pytest.raises(UserError, match=r"x\.txt: cannot be written: permission is denied"):
            atomic_write(shared / "x.txt", b"x")
        assert Store.open(store.root, create=False).get("run", record.id) == record


def test_a_folder_without_permission_to_look(shared: Path, record: Record):
    store = Store.open(shared / "store")
    store.put(record)
    store.root.chmod(0o700)
    if os.geteuid() != 0:
        pytest.skip("needs a folder of another user")
    with unprivileged():
        for ask in (
            lambda: Store.open(store.root),
            lambda: Store.open(store.root, create=False),
            lambda: store.get("run", record.id),
            lambda: store.has("run", record.id),
        ):
            with pytest.raises(UserError, match="cannot be read: permission is denied"):
                ask()


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the disk quota is used up"),
        (errno.EACCES, "permission is denied"),
        (errno.EPERM, "permission is denied"),
        (errno.EROFS, "the file system is read-only"),
        (errno.EFBIG, "the file would be larger than this process may write"),
        (errno.EIO, "Input/output error"),
    ],
)
@pytest.mark.parametrize("call", ["fsync", "replace", "open", "mkdir"])
def test_what_the_system_refuses_is_told_in_words(
    store: Store,
    record: Record,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    words: str,
    call: str,
):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    store.put_checkpoint("s1", {}, {"epoch": 1})
    before = {path for path in store.root.rglob("*") if path.is_file()}
    module = Path if call in ("open", "mkdir") else os
    with monkeypatch.context() as patch:
        patch.setattr(module, call, refuse)
        for name, write in (
            (record.id, lambda: store.put(record)),
            ("s1", lambda: store.put_checkpoint("s1", {}, {"epoch": 2})),
        ):
            with pytest.raises(StorageError) as caught:
                write()
            assert words in caught.value.what
            assert call == "mkdir" or name in (caught.value.where or "")
            assert str(store.root) in (caught.value.where or "")
    assert {path for path in store.root.rglob("*") if path.is_file()} == before
    assert store.get_checkpoint("s1") == ({}, {"epoch": 1})


def test_folders_and_cache_files(store: Store):
    assert store.folder("reports") == store.root / "reports"
    assert store.folder("reports").is_dir()
    path = store.cache_file("images", "abc.npy")
    assert path == store.root / "cache" / "images" / "abc.npy"
    assert path.parent.is_dir()
    assert not path.exists()


def test_many_may_make_one_store_at_once(tmp_path: Path):
    stores: list[Store] = []
    threads = [
        threading.Thread(target=lambda: stores.append(Store.open(tmp_path / "new")))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stores) == 8
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["FORMAT"]


def test_opening_is_fast(store: Store):
    def once() -> float:
        begin = time.perf_counter()
        Store.open(store.root)
        return time.perf_counter() - begin

    assert min(once() for _ in range(5)) < 0.02


def test_the_store_loads_nothing_heavy():
    code = (
        "import sys, tutelage.store\n"
        "print(*{'torch', 'scipy', 'sklearn', 'pydantic', 'PIL', 'altair'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_atomic_write_makes_folders_and_replaces(tmp_path: Path):
    path = tmp_path / "a" / "b.txt"
    atomic_write(path, b"one")
    atomic_write(str(path), b"two")
    assert path.read_bytes() == b"two"
    assert [item.name for item in path.parent.iterdir()] == ["b.txt"]


def test_the_bytes_reach_the_disk_before_they_take_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    calls: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(handle: int) -> None:
        calls.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        fsync(handle)

    def noted_replace(source: Path, target: Path) -> None:
        assert source.parent == target.parent
        calls.append("replace")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    atomic_write(tmp_path / "x", b"data")
    assert calls == ["file", "replace", "folder"]


def test_two_writes_of_one_file_do_not_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A second writer comes and goes while the first is between its data and its name."""
    path, fsync = tmp_path / "x", os.fsync

    def second_writer(handle: int) -> None:
        monkeypatch.setattr(os, "fsync", fsync)
        atomic_write(path, b"second")
        assert path.read_bytes() == b"second"
        fsync(handle)

    monkeypatch.setattr(os, "fsync", second_writer)
    atomic_write(path, b"first")
    assert [item.read_bytes() for item in tmp_path.iterdir()] == [b"first"]


def test_files_have_the_permissions_that_the_user_asked_for(tmp_path: Path):
    old = os.umask(0o027)
    try:
        atomic_write(tmp_path / "x", b"")
    finally:
        os.umask(old)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640


def test_an_interrupt_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    atomic_write(tmp_path / "x", b"old")
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        atomic_write(tmp_path / "x", b"new")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]
