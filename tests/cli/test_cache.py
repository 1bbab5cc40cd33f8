"""zoo cache: what is in it, and clearing it."""

from __future__ import annotations

import json

import pytest

from zoo.data import dataset_cache as store


@pytest.fixture
def filled(tmp_path, monkeypatch):
    """Three entries of 10, 20 and 30 bytes (and the header of their arrays), and the sizes by key."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    for key, count in (("aa11", 10), ("aa22", 20), ("bb33", 30)):
        description = {"dataset": f"d{count}", "images": count, "permute_pixels": None}
        store.open_or_build(key, (count, 1, 1, 1), description, lambda array: array.fill(1))
    return {entry.key: entry.size for entry in store.entries()}


def test_entries_are_listed_with_size_and_what_they_are(zoo, filled) -> None:
    told = zoo("cache")
    assert told.code == 0 and {line.split()[0] for line in told.out.splitlines()[1:]} == set(filled)
    assert "d20: images 20" in told.out and "permute" not in told.out
    assert told.err == f"{store.folder()}: 3 entries, {sum(filled.values())} bytes; at most 20.0 GB\n"
    facts = json.loads(zoo("cache", "--json").out)
    assert {entry["key"]: entry["size"] for entry in facts["entries"]} == filled
    assert (facts["size"], facts["limit"], facts["path"]) == (sum(filled.values()), 20_000_000_000, str(store.folder()))
    assert [entry["key"] for entry in json.loads(zoo("cache", "bb", "--json").out)["entries"]] == ["bb33"]


def test_clear_says_what_was_freed(zoo, filled) -> None:
    assert zoo("cache", "--clear", "aa1", "bb33", "aa11") == (
        0,
        f"2 entries cleared, {filled['aa11'] + filled['bb33']} bytes freed\n",
        "",
    )
    assert [entry.key for entry in store.entries()] == ["aa22"]
    assert json.loads(zoo("cache", "--clear", "--json").out) == {
        "path": str(store.folder()),
        "cleared": ["aa22"],
        "freed": filled["aa22"],
    }
    assert store.entries() == []
    assert zoo("cache") == (0, "", f"{store.folder()}: empty; at most 20.0 GB\n")


def test_clear_leaves_everything_else_alone(zoo, filled, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("ZOO_DATA", str(tmp_path / "cache"))
    other = tmp_path / "cache" / "MNIST" / "raw" / "train.gz"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"x")
    zoo("cache", "--clear")
    assert other.read_bytes() == b"x" and store.entries() == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["aa"], "2 keys begin with 'aa'; fix: type more of it"),
        (["bb3"], None),
        (["aa12"], "no cache entry is called 'aa12'; fix: did you mean"),
        (["zz", "--clear"], "no cache entry is called 'zz'; fix: see `zoo cache`"),
    ],
)
def test_a_key_may_be_typed_as_far_as_it_is_unique(zoo, filled, arguments, words) -> None:
    told = zoo("cache", *arguments)
    assert (told.code, len(store.entries())) == (2 if words else 0, 3) and (
        words is None or told.err.startswith(f"error: {words}")
    )
