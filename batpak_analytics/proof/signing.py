"""Ed25519 for notes, through the `cryptography` package, which is loaded only where something is signed or checked."""

from __future__ import annotations

import hashlib
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import Any

from batpak_analytics.errors import AnchorError, MissingExtraError

ED25519 = 1  # the signature type in a key id (C2SP signed-note)
RAW_KEY_BYTES = 32


def _library(name: str) -> Any:
    try:
        return import_module(f"cryptography.{name}")
    except ImportError as error:
        raise MissingExtraError(
            "Signing and checking signatures need the cryptography package. "
            "Install it with: pip install 'batpak-analytics[crypto]'"
        ) from error


def private_key(key: Any) -> Any:
    """A private key from 32 raw bytes, a PEM file, or a key of `cryptography`."""
    ed25519 = _library("hazmat.primitives.asymmetric.ed25519")
    if isinstance(key, bytes | bytearray) and len(key) == RAW_KEY_BYTES:
        return ed25519.Ed25519PrivateKey.from_private_bytes(bytes(key))
    if isinstance(key, str | PathLike):
        key = _from_pem("load_pem_private_key", key, password=None)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key
    raise AnchorError("key= is no Ed25519 private key. Give 32 bytes, the path of a PEM file, or a key object.")


def public_key(key: Any) -> Any:
    """A public key from 32 raw bytes, a PEM file, or a key of `cryptography`."""
    ed25519 = _library("hazmat.primitives.asymmetric.ed25519")
    if isinstance(key, bytes | bytearray) and len(key) == RAW_KEY_BYTES:
        return ed25519.Ed25519PublicKey.from_public_bytes(bytes(key))
    if isinstance(key, str | PathLike):
        key = _from_pem("load_pem_public_key", key)
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    raise AnchorError("public_key= is no Ed25519 public key. Give 32 bytes, the path of a PEM file, or a key object.")


def _from_pem(load: str, path: str | PathLike[str], **options: Any) -> Any:
    try:
        return getattr(_library("hazmat.primitives.serialization"), load)(Path(path).read_bytes(), **options)
    except (ValueError, TypeError) as error:
        raise AnchorError(f"{path} is no key in PEM form without a password: {error}. Give another file.") from error


def key_id(name: str, public: Any) -> bytes:
    """The first four bytes of SHA-256(name || newline || 0x01 || public key) (C2SP signed-note)."""
    return hashlib.sha256(name.encode() + b"\n" + bytes([ED25519]) + public.public_bytes_raw()).digest()[:4]


def sign(private: Any, text: bytes) -> bytes:
    """The Ed25519 signature of a text."""
    signature: bytes = private.sign(text)
    return signature


def holds(public: Any, signature: bytes, text: bytes) -> bool:
    """Whether a signature is that of the key over the text."""
    try:
        public.verify(signature, text)
    except _library("exceptions").InvalidSignature:
        return False
    return True
