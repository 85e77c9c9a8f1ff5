"""What a store promises, wherever it is."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from audiocur.errors import ConfigError
from audiocur.storage import open_store
from audiocur.storage.base import Store
from audiocur.storage.objects import RemoteFile
from audiocur.storage.remote import RemoteStore


@pytest.fixture(params=["folder", "s3", "memory", "walked"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A store of every kind; `walked` is a file system that fsspec searches folder by folder."""
    if request.param == "s3":
        return open_store(f"{request.getfixturevalue('bucket').url}/runs/[mine]")
    places = {"folder": str(tmp_path / "run"), "memory": f"memory://{uuid4()}/run", "walked": f"local://{tmp_path}/run"}
    return open_store(places[request.param])


def test_files_are_there_wholly_or_not_at_all(store: Store) -> None:
    assert store.files() == {}
    store.write("ledger/a.parquet", b"12345")
    store.write("clips/train/b [1]*.parquet", memoryview(b"123"))
    store.write("recipe.yaml", b"")
    assert store.files() == {"ledger/a.parquet": 5, "clips/train/b [1]*.parquet": 3, "recipe.yaml": 0}
    assert store.files("clips") == {"clips/train/b [1]*.parquet": 3}
    assert store.files("none") == {}
    assert [store.size(name) for name in ("ledger/a.parquet", "recipe.yaml", "none", "ledger/none")] == [
        5, 0, None, None,
    ]  # fmt: skip
    assert [store.read(name) for name in store.files()] == [
        {"ledger/a.parquet": b"12345", "clips/train/b [1]*.parquet": b"123"}.get(name, b"") for name in store.files()
    ]
    store.write("ledger/a.parquet", b"6")
    assert store.read("ledger/a.parquet") == b"6"
    with pytest.raises(FileNotFoundError):
        store.read("none")
    with pytest.raises(FileNotFoundError):
        store.open("none")


def test_a_name_is_taken_once(store: Store) -> None:
    store.write("epoch-1.json", b"mine", exclusive=True)
    with pytest.raises(FileExistsError):
        store.write("epoch-1.json", b"yours", exclusive=True)
    assert store.read("epoch-1.json") == b"mine"


def test_of_many_at_once_one_takes_a_name(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    for place in (str(tmp_path), f"{request.getfixturevalue('bucket').url}/run"):
        store = open_store(place)

        def taken(number: int, store: Store = store) -> bool:
            try:
                store.write("epoch.json", str(number).encode(), exclusive=True)
            except FileExistsError:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            winners = [number for number, won in enumerate(pool.map(taken, range(8))) if won]
        assert winners == [int(store.read("epoch.json"))]


def test_a_log_grows(store: Store) -> None:
    store.write("recipe.yaml", b"")  # a log is never the first file of a run
    store.append("log.txt", b"one\n")
    store.append("log.txt", b"two\n")
    assert store.read("log.txt") == b"one\ntwo\n"


def test_what_is_removed_takes_nothing_with_it(store: Store) -> None:
    names = ["a.parquet", "a[1].parquet", "a1.parquet", "b*.parquet", "b1.parquet"]
    for name in names:
        store.write(f"clips/{name}", b"1")
    store.remove(["clips/a[1].parquet", "clips/b*.parquet", "clips/gone.parquet"])
    assert sorted(store.files()) == ["clips/a.parquet", "clips/a1.parquet", "clips/b1.parquet"]
    store.remove([])


def test_a_file_is_read_from_anywhere(store: Store) -> None:
    data = bytes(range(256)) * 9000  # larger than all that is kept of it
    store.write("a.bin", data)
    with store.open("a.bin") as file:
        assert file.seek(-10, 2) == len(data) - 10
        assert file.read() == data[-10:]
        file.seek(100)
        assert file.read(5) == data[100:105]
        assert (file.seek(-5, 1), file.tell()) == (100, 100)
        assert file.read(2_000_000) == data[100:2_000_100]
        assert file.read(2_000_000) == data[2_000_100:]
        assert (file.read(1), file.read()) == (b"", b"")
        file.seek(len(data) + 5)
        assert file.read() == b""
        with pytest.raises((OSError, ValueError)):
            file.seek(-1)


def test_parquet_is_read_back(store: Store) -> None:
    table = pa.table({"n": range(100_000), "text": [str(n) for n in range(100_000)]})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=10_000)
    store.write("part.parquet", memoryview(sink.getvalue()))
    with store.open("part.parquet") as file:
        assert pq.read_metadata(file).num_rows == 100_000
    with store.open("part.parquet") as file:
        assert pq.read_table(file).equals(table)


def test_a_store_travels(store: Store) -> None:
    store.write("a", b"1")
    again = pickle.loads(pickle.dumps(store))
    assert (again, again.read("a"), str(again)) == (store, b"1", store.url)
    assert again.name == store.name


@pytest.mark.slow
def test_a_large_object_goes_up_in_parts_and_is_still_exclusive(bucket) -> None:
    store = open_store(f"{bucket.url}/run")
    data = bytes(101 << 20)
    store.write("clips/large.parquet", data, exclusive=True)
    assert store.size("clips/large.parquet") == len(data)
    with pytest.raises(FileExistsError):
        store.write("clips/large.parquet", data, exclusive=True)
    store.write("clips/large.parquet", b"1" + data)
    with store.open("clips/large.parquet") as file:
        assert (file.read(2), file.seek(0, 2)) == (b"1\0", len(data) + 1)


def test_the_console_s_folders_are_no_files(bucket) -> None:
    bucket.put("runs/mine/", b"")
    bucket.put("runs/mine/clips/", b"")
    assert open_store(f"{bucket.url}/runs/mine/").files() == {}


CALLS: dict[str, Callable[[RemoteStore], object]] = {
    "files": lambda store: store.files(),
    "size": lambda store: store.size("a"),
    "read": lambda store: store.read("a"),
    "open": lambda store: store.open("a"),
    "write": lambda store: store.write("b", b"1"),
    "append": lambda store: store.append("a", b"1"),
    "remove": lambda store: store.remove(["a"]),
}


def said(call: Callable[[RemoteStore], object], store: RemoteStore) -> OSError:
    with pytest.raises(OSError) as caught:  # noqa: PT011 - what it says is looked into
        call(store)
    assert type(caught.value).__module__ == "builtins"
    assert isinstance(caught.value.errno, int)
    assert "\n" not in str(caught.value.strerror)
    return caught.value


def test_a_network_that_is_down_is_an_os_error(bucket, unreachable) -> None:
    store = RemoteStore(bucket.url)
    with ThreadPoolExecutor(len(CALLS)) as pool:
        told = list(pool.map(said, CALLS.values(), [store] * len(CALLS)))
    assert {error.strerror.partition(":")[0] for error in told} == {"Could not connect to the endpoint URL"}


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (500, OSError, "Internal Server Error"),
        (503, OSError, "Service Unavailable"),
        (403, PermissionError, "Forbidden"),
    ],
)
def test_what_the_server_refuses_is_an_os_error(bucket, status, kind, words) -> None:
    bucket.put("a", b"1")
    store = RemoteStore(bucket.url)
    with bucket.store.refusing("", status), ThreadPoolExecutor(len(CALLS)) as pool:
        told = list(pool.map(said, CALLS.values(), [store] * len(CALLS)))
    assert {(type(error), error.strerror) for error in told} == {(kind, words)}
    assert store.read("a") == b"1"


def test_what_passes_is_asked_for_again(bucket) -> None:
    bucket.put("a", b"1" * 100_000)
    with bucket.store.refusing("GET", 503, times=2):
        assert RemoteStore(bucket.url).read("a") == b"1" * 100_000
    with RemoteStore(bucket.url).open("a") as file, bucket.store.refusing("GET", 500, times=4):
        assert file.read() == b"1" * 100_000


def test_a_bucket_that_is_not_there(bucket) -> None:
    store = RemoteStore("s3://no-such-bucket-here/run")
    assert (store.files(), store.size("a")) == ({}, None)
    with pytest.raises(FileNotFoundError, match="The specified bucket does not exist"):
        store.write("a", b"1")
    with pytest.raises(OSError, match="Invalid bucket name"):
        RemoteStore("s3://Not*A*Bucket/run").files()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nothing://x/y", "nothing://x/y: expected a protocol that fsspec knows, as s3:// or https://"),
        ("gs://x/y", "gs://x/y: nothing installed opens gs://; Please install gcsfs to access Google Storage"),
        ("zip://x/y", "zip://x/y: "),
    ],
)
def test_a_protocol_that_nothing_opens_is_told_at_once(url: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_store(url)
    assert str(caught.value).startswith(message)


def test_an_error_that_a_library_hides_is_remembered(bucket) -> None:
    file = RemoteFile(bucket.put("a", b"1" * 100), 100)
    assert file.read(1 << 50) == b"1" * 100  # as a damaged header may ask for
    again = RemoteFile(file.name, 100)
    bucket.remove("a")
    with pytest.raises(FileNotFoundError):
        again.read(1)
    assert isinstance(again.error, FileNotFoundError)
