from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from audiocur.checkpoints import Download, HubFolder, OwnFile, sha256_of
from audiocur.errors import ConfigError, RunError


@pytest.fixture
def weights(tmp_path) -> Path:
    path = tmp_path / "there/weights.pt"
    path.parent.mkdir()
    path.write_bytes(b"weights" * 500_000)
    return path


def download(weights, tmp_path, digest=""):
    return Download(name="tiny", url=weights.as_uri(), path=tmp_path / "cache/deep/weights.pt", digest=digest)


def test_a_download_is_fetched_once_and_found_then(weights, tmp_path):
    checkpoint = download(weights, tmp_path, hashlib.sha256(weights.read_bytes()).hexdigest()[:16])
    assert checkpoint.found() is None
    with pytest.raises(ConfigError, match=r"tiny is not on this machine; `audiocur models --fetch`"):
        checkpoint.require()
    heard: list[int] = []
    assert checkpoint.fetch(heard.append) == checkpoint.found()
    assert heard[-1] == weights.stat().st_size
    assert len(heard) > 1
    assert checkpoint.sha256() == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert [path.name for path in checkpoint.path.parent.iterdir()] == ["weights.pt"]


def test_another_content_than_promised_is_refused_and_not_kept(weights, tmp_path):
    checkpoint = download(weights, tmp_path, digest="abcdef")
    with pytest.raises(RunError, match="expected abcdef"):
        checkpoint.fetch()
    assert checkpoint.found() is None
    assert list(checkpoint.path.parent.iterdir()) == []


def test_an_address_where_nothing_is_is_told(tmp_path):
    checkpoint = download(tmp_path / "nothing", tmp_path)
    with pytest.raises(RunError, match="tiny: cannot be fetched from file:"):
        checkpoint.fetch()


def test_a_folder_has_a_hash_of_names_and_contents(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
    assert sha256_of(tmp_path / "a") == sha256_of(tmp_path / "b")
    (tmp_path / "b/config.json").rename(tmp_path / "b/model.json")
    assert sha256_of(tmp_path / "a") != sha256_of(tmp_path / "b")
    assert OwnFile(name="a", path=str(tmp_path / "a")).sha256() == sha256_of(tmp_path / "a")


def test_a_file_that_changes_has_another_hash(weights):
    before = sha256_of(weights)
    weights.write_bytes(b"others")
    assert sha256_of(weights) != before


def test_a_repository_is_found_in_the_hubs_own_cache_by_its_commit(tmp_path, monkeypatch):
    pytest.importorskip("huggingface_hub")
    commit = "0123456789abcdef0123456789abcdef01234567"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    checkpoint = HubFolder(name="tiny", repo="owner/tiny")
    assert checkpoint.found() is None
    snapshot = tmp_path / f"models--owner--tiny/snapshots/{commit}"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    (tmp_path / "models--owner--tiny/refs").mkdir()
    (tmp_path / "models--owner--tiny/refs/main").write_text(commit)
    assert checkpoint.found() is None, "what was begun is not there"
    (snapshot / "model.safetensors").touch()
    assert checkpoint.found() == snapshot
    assert checkpoint.sha256() == commit


def test_a_name_that_no_hub_has_is_a_mistake():
    pytest.importorskip("huggingface_hub")
    with pytest.raises(ConfigError, match="expected owner/name of the model hub"):
        HubFolder(name="tiny", repo="a/b--c").found()
