"""Who may use the console: requests of this machine that name it so, and know the secret of its URL."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import Final

from attrs import evolve, frozen

from daemon.ingress.http_types import Headers, HttpResponse

_LOOPBACK: Final = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE)
"""Any port: whoever tunnels the page to another machine meets it at another one."""

SCRIPT: Final = "const t=sessionStorage.getItem('onhand-token');if(t)location.replace('/'+t+'/'+location.hash);"
"""A reload of a page that has taken the secret out of its address finds its way back with what the tab remembers."""


def policy(script: str = "'self'") -> str:
    """The Content-Security-Policy: our own files alone, no markup made of text, no page around ours."""
    return (
        f"default-src 'none'; script-src {script}; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )


_HASH: Final = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
_ALWAYS: Final = (
    ("Cache-Control", "no-store"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)


def guarded(answer: HttpResponse, csp: str = "") -> HttpResponse:
    """The answer with the headers that every answer of the console has."""
    return evolve(answer, headers=(*answer.headers, ("Content-Security-Policy", csp or policy()), *_ALWAYS))


def refusal(status: int, sentence: str, headers: tuple[tuple[str, str], ...] = ()) -> HttpResponse:
    """One sentence as text."""
    return guarded(HttpResponse(status, sentence.encode() + b"\n", headers))


def refuse(status: int, reason: str) -> HttpResponse:
    """The listener's own refusals: give it to `HttpServer(refuse=...)`."""
    return refusal(status, reason)


STRANGER: Final = "this address is not complete, or not valid any more: open the one that onhand console printed"


def knock() -> HttpResponse:
    """The refusal at `/`, as a page that sends a tab which knows the secret to where it was."""
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>onhand</title>'
        f"<p>{STRANGER[0].upper()}{STRANGER[1:]}.</p><script>{SCRIPT}</script></html>\n"
    )
    answer = HttpResponse(403, page.encode(), content_type="text/html; charset=utf-8")
    return guarded(answer, policy(f"'sha256-{_HASH}'"))


def is_here(headers: Headers) -> bool:
    """Does the request call us by an address of this machine? A name that an outsider's DNS points here does not."""
    named = headers.get_all("host")
    return len(named) == 1 and _LOOPBACK.fullmatch(named[0]) is not None


@frozen
class Secret:
    """The token of one console."""

    token: str

    def opens(self, told: str) -> bool:
        """Is `told` the token? Takes as long for a wrong one that is nearly right."""
        return hmac.compare_digest(told.encode("utf-8", "replace"), self.token.encode())

    def in_header(self, headers: Headers) -> bool:
        """Does the request carry the token, once, as `Authorization: Bearer`?"""
        told = headers.get_all("authorization")
        scheme, _, value = told[0].partition(" ") if len(told) == 1 else ("", "", "")
        return scheme.lower() == "bearer" and self.opens(value)
