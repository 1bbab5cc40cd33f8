"""Signatures of bundles: made by `zoo export --sign`, checked by `zoo verify --trust`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from zoo.errors import SetupError, UsageError
from zoo.exporting import signing
from zoo.exporting.export import export
from zoo.exporting.signing import PASSWORD, require_key, sign, verify_signature
from zoo.workflows.verify_exported import verify_exported

pytest.importorskip("model_signing", reason="model-signing is not installed")
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa


class Keys(NamedTuple):
    private: Path
    public: Path


def make_keys(folder: Path, name: str, password: bytes | None = None) -> Keys:
    key = ec.generate_private_key(ec.SECP256R1())
    hidden = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    made = Keys(folder / f"{name}.pem", folder / f"{name}.pub")
    made.private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden))
    public = key.public_key()
    made.public.write_bytes(
        public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return made


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return make_keys(tmp_path, "ours")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder to sign."""
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "bundle.json").write_text("{}", encoding="utf-8")
    (tmp_path / "bundle" / "model.onnx").write_bytes(b"model")
    return tmp_path / "bundle"


def test_an_exported_bundle_is_signed_and_replaced_by_another_signed_one(
    tmp_path: Path, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ZOO_RUNS", "ZOO_DATA"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    for _ in range(2):
        bundle = export("cnn_mnist", out=tmp_path / "cnn", sign=keys.private).path
    found = verify_exported(bundle, trust=keys.public)
    assert (found.code, [each.state for each in found.findings if each.part == "model.sig"]) == (0, ["ok"])
    found = verify_exported(bundle, trust=make_keys(tmp_path, "theirs").public)
    assert found.code == 4
    assert "not signed with the trusted key" in found.findings[-1].detail


def test_a_signature_holds_under_another_name_and_for_every_file(folder: Path, keys: Keys, tmp_path: Path) -> None:
    sign(folder, keys.private)
    moved = Path(shutil.copytree(folder, tmp_path / "moved"))
    assert verify_signature(moved, keys.public).state == "ok"
    for name in ("model.onnx", "bundle.json", "model.sig"):
        before = (moved / name).read_bytes()
        (moved / name).write_bytes(before[:-1])
        assert verify_signature(moved, keys.public).state == "damaged", name
        (moved / name).write_bytes(before)
    (moved / "more.txt").write_text("", encoding="utf-8")
    assert verify_signature(moved, keys.public).state == "damaged"


def test_without_a_signature_the_bundle_is_not_trusted(folder: Path, keys: Keys) -> None:
    assert verify_signature(folder, keys.public) == ("model.sig", "damaged", "the bundle is not signed")


def test_an_encrypted_key_needs_its_password(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = make_keys(tmp_path, "hidden", b"open sesame")
    monkeypatch.delenv(PASSWORD, raising=False)
    with pytest.raises(UsageError, match=f"read from {PASSWORD}"):
        require_key(hidden.private)
    monkeypatch.setenv(PASSWORD, "open sesame")
    require_key(hidden.private)
    sign(folder, hidden.private)
    assert verify_signature(folder, hidden.public).state == "ok"


def test_a_key_that_cannot_sign_is_refused_before_anything_is_computed(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        require_key(tmp_path / "none.pem")
    (tmp_path / "text.pem").write_text("no key", encoding="utf-8")
    with pytest.raises(UsageError, match="not a private key that can be used"):
        export("cnn_mnist", out=tmp_path / "cnn", sign=tmp_path / "text.pem")
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    (tmp_path / "rsa.pem").write_bytes(
        other.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    with pytest.raises(UsageError, match="elliptic"):
        require_key(tmp_path / "rsa.pem")
    assert not (tmp_path / "cnn").exists()


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "model_signing", None)
    with pytest.raises(SetupError, match=r"fix: pip install 'torch-zoo\[sign\]'"):
        signing.require_key(tmp_path / "key.pem")
