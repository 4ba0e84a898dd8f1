import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicehelper.errors import InvalidInput
from voicehelper.knowledge.names import MAX_NAME_CHARS, base_name, document_name


@pytest.mark.parametrize(
    ("given_name", "canonical"),
    [
        ("退款 政策.md", "退款 政策.md"),
        ("a/b/c.txt", "a/b/c.txt"),
        ("a\\b\\c.txt", "a/b/c.txt"),
        ("/etc/passwd.txt", "etc/passwd.txt"),
        ("./a//b/./c.txt", "a/b/c.txt"),
        ("e\u0301.txt", "\u00e9.txt"),
        (" a.txt ", "a.txt"),
    ],
)
def test_names_are_made_canonical(given_name: str, canonical: str) -> None:
    assert document_name(given_name) == canonical


@pytest.mark.parametrize(
    "name", ["", "  ", "/", "./.", "../a", "a/../b", "a/..", "a\x00b", "a\nb", "x" * 501, "\ud800"]
)
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput):
        document_name(name)


@given(st.text())
def test_an_accepted_name_is_stable_and_stays_inside(name: str) -> None:
    try:
        canonical = document_name(name)
    except InvalidInput:
        return
    assert document_name(canonical) == canonical
    assert len(canonical) <= MAX_NAME_CHARS
    assert not canonical.startswith("/")
    assert ".." not in canonical.split("/")


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 201])
def test_base_names_that_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput):
        base_name(name)
