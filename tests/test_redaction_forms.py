"""A secret is hidden in every form in which a channel may repeat it, and where it was cut in two."""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.redaction import HIDDEN, REPLACED_MAX, Redactor

SECRET = "cs_9876543210+/fed cba~ü"


def redactor(*secrets: str) -> Redactor:
    made = Redactor()
    for secret in secrets:
        made.protect(secret)
    return made


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        quote(SECRET),
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        quote(SECRET, safe="").replace("%2B", "%2b").replace("%2F", "%2f").replace("%C3%BC", "%c3%bc"),
        SECRET.encode().hex(),
        SECRET.encode().hex().upper(),
        SECRET[:8],
        SECRET[:-1],
    ],
)
def test_each_form_of_a_secret_is_hidden(form: str) -> None:
    assert redactor(SECRET).text(f"before {form} behind") == f"before {HIDDEN} behind"


@pytest.mark.parametrize("before", ["", "u", "us", "user:", "user:name:"])
@pytest.mark.parametrize("encode", [b64encode, urlsafe_b64encode])
def test_base64_of_a_secret_behind_anything_is_hidden(before: str, encode: object) -> None:
    shown = redactor(SECRET).text("as " + encode(f"{before}{SECRET}".encode()).decode())  # type: ignore[operator]  # one of the two
    assert HIDDEN in shown
    assert len(shown.replace(HIDDEN, "")) <= len("as ") + len(b64encode(before.encode())) + 6


@given(st.text(st.characters(codec="ascii", exclude_categories=["C"]), min_size=8, max_size=40), st.integers(0, 60))
def test_wherever_a_text_is_cut_no_more_of_a_secret_stays_than_guards_nothing(secret: str, cut: int) -> None:
    shown = redactor(secret).text(f"{'.' * 10} {secret} {secret}"[:cut])
    assert secret[:8] not in shown


@given(st.lists(st.text("ab", min_size=4, max_size=14), min_size=1, max_size=4), st.text("abc", max_size=60))
def test_no_secret_is_left_whatever_they_have_in_common(secrets: list[str], text: str) -> None:
    # Two that overlap are hidden from the first on: nothing of at least a whole head is left.
    shown = redactor(*secrets).text(text).replace(HIDDEN, " ")
    assert not any(secret in shown for secret in secrets)


def test_what_was_replaced_is_hidden_until_enough_others_were_and_what_was_not_for_ever() -> None:
    redactor = Redactor()
    redactor.protect("configured-secret")
    for number in range(3 * REPLACED_MAX):
        redactor.protect(f"token-{number:04}-abcdefgh")
        redactor.replaced(f"token-{number - 1:04}-abcdefgh")
    redactor.replaced("never-told")
    assert redactor.text("configured-secret") == HIDDEN
    assert redactor.text(f"token-{3 * REPLACED_MAX - 1:04}-abcdefgh") == HIDDEN
    assert redactor.text(f"token-{2 * REPLACED_MAX:04}-abcdefgh") == HIDDEN
    assert "0005-abcdefgh" in redactor.text("token-0005-abcdefgh")
    assert len(redactor._forms) == REPLACED_MAX + 2


def test_what_is_given_again_is_no_longer_replaced() -> None:
    redactor = Redactor()
    redactor.protect("token-again-abcdefgh")
    redactor.replaced("token-again-abcdefgh")
    redactor.protect("token-again-abcdefgh")
    for number in range(2 * REPLACED_MAX):
        redactor.protect(f"token-{number:04}-abcdefgh")
        redactor.replaced(f"token-{number:04}-abcdefgh")
    assert redactor.text("token-again-abcdefgh") == HIDDEN
