"""The addresses of weights: what they fix, and what is refused before anything is opened."""

from __future__ import annotations

import subprocess
import sys

import pytest

from zoo.errors import CheckpointError, UsageError
from zoo.models.weights_address import HubAddress, UrlAddress, is_address, parse_address

COMMIT, SHA256 = "0123456789abcdef0123456789abcdef01234567", "ab" * 32


@pytest.mark.parametrize(
    ("text", "file"),
    [
        (f"hf:org/net-1.0@{COMMIT}", "model.safetensors"),
        (f"hf:org/net-1.0@{COMMIT.upper()}:model.safetensors", "model.safetensors"),
        (f"hf:org/net-1.0@{COMMIT}:ema/big model.safetensors", "ema/big model.safetensors"),
    ],
)
def test_a_hub_address_names_repository_commit_and_file(text: str, file: str) -> None:
    found = parse_address(text)
    assert found == HubAddress("org/net-1.0", COMMIT, file)
    assert found.text == f"hf:org/net-1.0@{COMMIT}:{file}"
    assert parse_address(found.text) == found
    assert found.source == f"https://huggingface.co/org/net-1.0/blob/{COMMIT}/{file}"


def test_a_url_names_its_sha256() -> None:
    found = parse_address(f"https://host.example/a/net%20b.safetensors?download=true#sha256={SHA256.upper()}")
    assert found == UrlAddress("https://host.example/a/net%20b.safetensors?download=true", SHA256)
    assert (found.label, found.source) == ("net b.safetensors", found.url)
    assert parse_address(found.text) == found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hf:org/net", "names no commit, so its content may change (weights); fix: write hf:ORGANISATION/NAME@COMMIT"),
        ("hf:org/net@", "names no commit"),
        ("hf:org/net@main", "'main' is not a commit, which has 40 hexadecimal digits"),
        ("hf:org/net@0123456", "'0123456' is not a commit"),
        (f"hf:net@{COMMIT}", "'net' is not the name of a repository"),
        (f"hf:../net@{COMMIT}", "'../net' is not the name of a repository"),
        (f"hf:org/..@{COMMIT}", "'org/..' is not the name of a repository"),
        (f"hf:org/net@{COMMIT}:", "'' is not a file of a repository"),
        (f"hf:org/net@{COMMIT}:../model.safetensors", "'../model.safetensors' is not a file of a repository"),
        (f"hf:org/net@{COMMIT}:/model.safetensors", "is not a file of a repository"),
        (f"hf:org/net@{COMMIT}:a\\b.safetensors", "is not a file of a repository"),
        (f"hf:org/net@{COMMIT}:a\x1b[31m.safetensors", "is not a file of a repository"),
        ("https://host.example/net.safetensors", "has no sha256, so its content may change"),
        ("https://host.example/net.safetensors#", "has no sha256"),
        ("https://host.example/net.safetensors#sha256=abcd", "does not end with #sha256= and 64 hexadecimal digits"),
        (f"https://host.example/net.safetensors#md5={SHA256}", "does not end with #sha256="),
        (f"http://host.example/net.safetensors#sha256={SHA256}", "downloads need https, but this URL is not https"),
        (f"https:///net.safetensors#sha256={SHA256}", "is not a URL"),
        (f"https://[::1/net.safetensors#sha256={SHA256}", "is not a URL"),
        (f"https://me:secret@host.example/n.safetensors#sha256={SHA256}", "has a user name or a password"),
        (f"https://host.example/a\x1b[2J.safetensors#sha256={SHA256}", "is not a URL"),
    ],
)
def test_an_address_that_does_not_fix_the_content_is_refused_in_one_line(text: str, words: str) -> None:
    assert is_address(text)
    with pytest.raises(UsageError) as caught:
        parse_address(text)
    assert words in str(caught.value)
    assert "fix: " in str(caught.value) and len(caught.value.lines) == 1
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        f"hf:org/net@{COMMIT}:pytorch_model.bin",
        f"hf:org/net@{COMMIT}:model.PTH",
        f"hf:org/net@{COMMIT}:config.json",
        f"https://host.example/net.pth#sha256={SHA256}",
        f"https://host.example/net.BIN?download=1#sha256={SHA256}",
    ],
)
def test_a_pickle_is_refused_before_it_is_downloaded(text: str) -> None:
    with pytest.raises(CheckpointError, match=r"a pickle can run code when it is loaded, and zoo loads none") as caught:
        parse_address(text)
    assert "fix: choose a .safetensors file" in str(caught.value)


@pytest.mark.parametrize("text", ["imagenet", "none", "net.safetensors", "hf", "./hf:x", "runs/a"])
def test_other_texts_are_no_addresses(text: str) -> None:
    assert not is_address(text)


def test_parsing_imports_neither_torch_nor_a_client() -> None:
    code = (
        "import sys, zoo.runs.initial_weights as w; from zoo.registry.lookup import registry; "
        f"print(type(w.parse_weights('hf:o/n@{COMMIT}', registry().architecture('cnn'))).__name__, "
        "*(name for name in ('torch', 'requests', 'huggingface_hub') if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["FileWeights"]
