"""Notes and checkpoints: the published examples, our own there and back, and everything that is none."""

from __future__ import annotations

import base64
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization as pem
from cryptography.hazmat.primitives.asymmetric import ed25519 as ED
from hypothesis import given
from hypothesis import strategies as st

from batpak_analytics.errors import AnchorError, MissingExtraError
from batpak_analytics.proof import signing
from batpak_analytics.proof.note import LEAF_RULE, Checkpoint, Note, outside, parse_note

KEY = bytes(range(32))
PUBLIC = ED.Ed25519PrivateKey.from_private_bytes(KEY).public_key()

# From the page of golang.org/x/mod/sumdb/note, with the verifier's key that belongs to it.
PETER = "PeterNeumann"
PETER_KEY = "c74f20a3"
NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
PETER_PUBLIC = "ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"


def test_the_published_note_verifies() -> None:
    raw = base64.b64decode(PETER_PUBLIC)
    assert raw[0] == signing.ED25519
    note = parse_note(NOTE)
    assert str(note) == NOTE
    assert note.signatures[0].key_id.hex() == PETER_KEY
    assert note.signer(raw[1:]) == PETER
    with pytest.raises(AnchorError, match="was changed"):
        Note(note.text.replace("answer", "cause"), note.signatures).signer(raw[1:])


def test_a_checkpoint_reads_back_as_it_was_written(tmp_path: Path) -> None:
    made = Checkpoint("example.com/orders", 42, bytes(range(32)))
    assert str(made).split("\n")[:4] == [
        "example.com/orders", "42", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", LEAF_RULE,
    ]  # fmt: skip
    for one in (made, made.signed(KEY), made.signed(KEY).signed(bytes(32))):
        assert Checkpoint.parse(str(one)) == one
        assert Checkpoint.load(one.save(tmp_path / "note")) == one
    assert made.signed(KEY).note.signer(PUBLIC) == "example.com/orders"


def test_a_key_may_be_bytes_an_object_or_a_pem_file(tmp_path: Path) -> None:
    private = ED.Ed25519PrivateKey.from_private_bytes(KEY)
    secret, public = tmp_path / "secret.pem", tmp_path / "public.pem"
    secret.write_bytes(private.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, pem.NoEncryption()))
    public.write_bytes(PUBLIC.public_bytes(pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo))
    made = Checkpoint("o", 0, bytes(32))
    assert made.signed(KEY) == made.signed(private) == made.signed(secret)
    for key in (PUBLIC, PUBLIC.public_bytes_raw(), public):
        assert made.signed(KEY).note.signer(key) == "o"
    for wrong in (b"short", public, 7):
        with pytest.raises(AnchorError):
            made.signed(wrong)


def test_a_note_that_another_key_signed_is_refused() -> None:
    made = Checkpoint("o", 0, bytes(32))
    for one in (made, made.signed(bytes(32))):
        with pytest.raises(AnchorError, match="not signed by this key"):
            one.note.signer(PUBLIC)


def test_a_name_with_a_space_cannot_sign() -> None:
    for name in ("our orders", "a+b", "tab\there", ""):
        with pytest.raises(AnchorError):
            Checkpoint(name, 0, bytes(32)).signed(KEY)


BAD = [
    "", "\n", "a\n", "o\n1\nAA==\n" + LEAF_RULE + "\n\n", "o\n01\n{root}\n{rule}\n\n", "o\n-1\n{root}\n{rule}\n\n",
    "o\n1\n{root}\n\n", "o\n1\n{root}\n{rule}\nmore\n\n", "\n1\n{root}\n{rule}\n\n", "o\n1\n{root}\nsha256\n\n",
    "o\n1\n{root}\n{rule}\n", "o\n1\n{root}\n{rule}\n\n- name AAAAAAAA\n", "o\n1\n{root}\n{rule}\n\n\u2014 name AAAA\n",
    "o\n1\n{root}\n{rule}\n\n\u2014 name !!!!\n", "o\r\n1\n{root}\n{rule}\n\n",
    "o\n1\n{root}\n{rule}\n\n\u2014 n AAAAAAAA",
    "o\n99999999999999999999\n{root}\n{rule}\n\n",
]  # fmt: skip


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    root = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
    with pytest.raises(AnchorError):
        Checkpoint.parse(text.replace("{root}", root).replace("{rule}", LEAF_RULE))


@given(st.text(max_size=200))
def test_no_text_makes_the_parser_fail_otherwise(text: str) -> None:
    try:
        made = Checkpoint.parse(text)
    except AnchorError:
        return
    assert Checkpoint.parse(str(made)) == made


def test_nothing_is_written_into_the_store(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    for path in (tmp_path / "store" / "note", tmp_path / "store" / "x" / ".." / "note"):
        with pytest.raises(AnchorError, match="lies in the store"):
            outside(str(tmp_path / "store"), path)
    assert outside(str(tmp_path / "store"), tmp_path / "note") == tmp_path / "note"


def test_without_the_extra_only_signatures_are_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    signed = Checkpoint("o", 0, bytes(32)).signed(KEY)
    for name in [name for name in sys.modules if name.split(".")[0] == "cryptography"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    assert Checkpoint.parse(str(signed)) == signed
    for call in (lambda: signed.signed(KEY), lambda: signed.note.signer(bytes(32))):
        with pytest.raises(MissingExtraError, match=r"batpak-analytics\[crypto\]"):
            call()
