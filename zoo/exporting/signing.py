"""Sign bundles, and verify their signatures, with model-signing and local elliptic-curve keys.

The digests in a bundle detect damage and edits of single files; whoever can replace the whole bundle can replace them,
too. A signature shows who published it. It is in the format of https://github.com/sigstore/model-transparency, so that
other programs can verify it as well.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType

from zoo.errors import SetupError, UsageError
from zoo.exporting.atomic_publish import SIGNATURE
from zoo.exporting.integrity import Finding

PASSWORD = "ZOO_KEY_PASSWORD"  # noqa: S105  # the name of the environment variable
"""The environment variable with the password of an encrypted private key."""


def require_key(key: Path) -> None:
    """Check, before anything is computed, that ``key`` can be used to sign. Raises SetupError or UsageError."""
    _library()
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        found = load_pem_private_key(key.read_bytes(), _password())
        if not isinstance(found, EllipticCurvePrivateKey):
            raise ValueError(f"it is a {type(found).__name__}")
    except OSError as error:
        raise UsageError(f"the private key cannot be read: {error.strerror}", where=key, fix="check --sign") from error
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"this is not a private key that can be used: {' '.join(str(error).split())[:200]}",
            where=key,
            fix=f"give an elliptic-curve key in PEM format; the password of an encrypted key is read from {PASSWORD}",
        ) from error


def sign(bundle: Path, key: Path) -> None:
    """Sign all files of a bundle; the signature is written beside them. Raises UsageError for an unsuitable key."""
    library = _library()
    signing = library.signing.Config().use_elliptic_key_signer(private_key=str(key), password=_password())
    try:
        signing.set_hashing_config(_hashing(library)).sign(str(bundle), str(bundle / SIGNATURE))
    except ValueError as error:
        raise UsageError(
            f"the bundle cannot be signed: {error}", where=key, fix="give an elliptic-curve key (P-256, P-384, P-521)"
        ) from error


def verify_signature(bundle: Path, key: Path) -> Finding:
    """Return whether the bundle is signed with the private key that belongs to the public ``key``.

    Raises UsageError if the key cannot be read.
    """
    library = _library()
    if not (bundle / SIGNATURE).is_file():
        return Finding(SIGNATURE, "damaged", "the bundle is not signed")
    if not key.is_file():
        raise UsageError("the public key is no file", where=key, fix="check --trust")
    verifying = library.verifying.Config().use_elliptic_key_verifier(public_key=str(key))
    try:
        verifying.set_hashing_config(_hashing(library)).verify(bundle, bundle / SIGNATURE)
    except Exception as error:  # whatever a damaged signature leads the library to
        told = " ".join(str(error).split())[:200] or type(error).__name__
        return Finding(SIGNATURE, "damaged", f"not signed with the trusted key, or changed since: {told}")
    return Finding(SIGNATURE, "ok", f"signed with the key of {key}")


def _password() -> bytes | None:
    """As bytes, which is what the library's reader of keys takes."""
    text = os.environ.get(PASSWORD)
    return None if text is None else text.encode()


def _hashing(library: ModuleType) -> object:
    return library.hashing.Config().set_ignored_paths(paths=[SIGNATURE], ignore_git_paths=False)


def _library() -> ModuleType:
    try:
        import model_signing
    except ImportError as error:
        raise SetupError(
            f"signatures need the package model-signing ({error})", fix="pip install 'torch-zoo[sign]'"
        ) from error
    library: ModuleType = model_signing
    return library
