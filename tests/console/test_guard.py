"""Nobody uses the console but who knows its secret, from this machine, and only for what is on its lists."""

from __future__ import annotations

import base64
import hashlib
import re
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.admin.routes import ROUTES
from daemon.console.assets import load_assets
from daemon.console.guard import SCRIPT, Secret, is_here
from daemon.console.handler import ConsoleHandler
from daemon.console.link import Link
from daemon.console.paths import COMMANDS, READS, kind_of
from daemon.ingress.http_types import Headers, RequestHead
from daemon.ports import new_token
from tests.console.conftest import TOKEN, Console

ASSETS = load_assets()
ONE_SENTENCE = re.compile(r"[^\n]+\n")


@pytest.mark.parametrize("path", ["/api/v1/status", "/api/console", "/api/v1/export", "/api", "/api/nothing"])
async def test_without_the_token_nothing_is_answered(reading: Console, path: str) -> None:
    for token in (None, "", "x", TOKEN[:-1], TOKEN + "t", "T" * 43):
        answer = await reading("GET", path, token=token)
        assert answer.status_code == 403
        assert ONE_SENTENCE.fullmatch(answer.text)
        assert "onhand console" in answer.text


async def test_the_token_is_taken_from_the_header_alone(reading: Console) -> None:
    assert (await reading("GET", f"/api/v1/status?token={TOKEN}", token=None)).status_code == 403
    assert (await reading("GET", f"/{TOKEN}/api/v1/status", token=None)).status_code == 404
    twice = [("Authorization", f"Bearer {TOKEN}"), ("Authorization", f"Bearer {TOKEN}")]
    assert (await reading.http.get("/api/v1/status", headers=twice)).status_code == 403
    basic = {"Authorization": f"Basic {TOKEN}"}
    assert (await reading("GET", "/api/v1/status", token=None, headers=basic)).status_code == 403


async def test_the_files_of_the_page_want_the_token_in_their_path(reading: Console) -> None:
    for path in ("/", "/index.html", "/app.js", "/wrong/", "/wrong/app.js", f"/{TOKEN}x/", "//", "/.."):
        answer = await reading.http.get(path)
        assert answer.status_code == 403, path
        assert "onhand console printed" in answer.text


async def test_the_address_that_was_printed_gives_the_page_and_its_files(reading: Console) -> None:
    page = await reading.http.get(f"/{TOKEN}/")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    for name in re.findall(r'(?:src|href)="([a-z.]+)"', page.text):
        assert (await reading.http.get(f"/{TOKEN}/{name}")).status_code == 200
    assert (await reading.http.get(f"/{TOKEN}/handler.py")).status_code == 404
    assert (await reading.http.get(f"/{TOKEN}/..%2fhandler.py")).status_code == 404
    assert (await reading.http.post(f"/{TOKEN}/")).status_code == 405
    moved = await reading.http.get(f"/{TOKEN}")
    assert (moved.status_code, moved.headers["location"]) == (308, f"/{TOKEN}/")


@pytest.mark.parametrize("path", [f"/{TOKEN}/", "/api/v1/status", "/"])
async def test_a_name_that_is_not_of_this_machine_is_refused(reading: Console, path: str) -> None:
    for name in ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "10.0.0.1", "", "[::2]:1"):
        answer = await reading("GET", path, headers={"Host": name})
        assert answer.status_code == 403, name
        assert ONE_SENTENCE.fullmatch(answer.text)


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost:8490", "LOCALHOST", "[::1]:5"])
def test_every_name_of_this_machine_will_do(name: str) -> None:
    assert is_here(Headers([("Host", name)]))
    assert not is_here(Headers([("Host", name), ("Host", name)]))
    assert not is_here(Headers())


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", f"/{TOKEN}/"), ("GET", "/"), ("GET", "/api/v1/status"), ("GET", "/nothing"), ("POST", "/api/v1/status"),
     ("GET", "/api/v1/skus/NOBODY"), ("GET", "/api/v1/nothing"), ("BREW", "/api/v1/status")],
)  # fmt: skip
async def test_every_answer_says_what_a_browser_may_do_with_it(reading: Console, method: str, path: str) -> None:
    headers = (await reading(method, path)).headers
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"
    policy = dict(part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";"))
    assert (
        policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    )
    assert policy["require-trusted-types-for"] == "'script'"
    assert {policy[name] for name in ("style-src", "connect-src", "img-src")} == {"'self'"}
    assert policy["script-src"] == "'self'" or path == "/"
    assert "unsafe" not in headers["content-security-policy"]
    assert "access-control-allow-origin" not in headers


async def test_the_listener_refuses_with_the_same_headers(reading: Console) -> None:
    answer = await reading.http.get("/", headers={f"X-{n}": "1" for n in range(100)})
    assert answer.status_code == 431
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


async def test_the_one_script_in_a_page_is_named_by_its_hash(reading: Console) -> None:
    answer = await reading.http.get("/")
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in answer.headers["content-security-policy"]
    assert f"<script>{SCRIPT}</script>" in answer.text
    assert TOKEN not in answer.text


async def test_another_page_may_not_even_ask_whether_it_may(reading: Console) -> None:
    headers = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    answer = await reading("OPTIONS", "/api/v1/status", token=None, headers=headers)
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]


@given(st.text(max_size=60))
def test_the_token_and_nothing_else_opens(told: str) -> None:
    assert Secret(TOKEN).opens(told) == (told == TOKEN)


def test_tokens_are_long_and_never_the_same() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", token) for token in tokens)


def test_the_lists_hold_what_the_admin_socket_has_and_nothing_that_streams() -> None:
    known = {(route.method, route.template) for route in ROUTES}
    assert {("GET", path) for path in READS} | {("POST", path) for path in COMMANDS} <= known
    assert not [path for path in READS if path in ("/v1/events", "/metrics", "/v1/export")]


@pytest.mark.parametrize(
    "path",
    [
        *("/v1/events", "/metrics", "/v1/backup", "/v1/rebuild", "/v1/import", "/v1/counts", "/v1/adjustments"),
        *("/v1/export", "/v1/openapi.json", "/v1/channels/shop/drift/accept", "/v1/channels/shop/webhooks/register"),
        *("/v1/skus/", "/v1/skus/A/", "/v1/skus/A/history/x", "/v1//status", "/v1/status/", "/V1/status"),
        *("", "/", "v1/status", "/v1/skus//push"),
    ],
)
def test_what_is_not_on_the_lists_is_nothing(path: str) -> None:
    assert kind_of(path) == ""


WIRE = st.characters(min_codepoint=0x21, max_codepoint=0xFF)
PIECES = st.one_of(
    st.text(WIRE, max_size=12),
    st.sampled_from(
        ["/", "//", "/api", "/v1", "/skus", "/status", "/pause", "/..", "/%2e%2e", f"/{TOKEN}", TOKEN[:-1]]
    ),
)


@given(
    method=st.one_of(st.sampled_from(["GET", "HEAD", "POST", "OPTIONS", "CONNECT"]), st.text(WIRE, max_size=8)),
    path=st.lists(PIECES, max_size=6).map("".join),
    host=st.one_of(st.sampled_from(["127.0.0.1:80", "localhost"]), st.text(WIRE, max_size=20)),
    authorization=st.one_of(st.sampled_from([f"Bearer {TOKEN}", f"bearer {TOKEN[:-1]}", "Bearer"]), st.text(WIRE)),
    write=st.booleans(),
)
def test_whatever_comes_it_is_admitted_only_with_the_token_and_else_refused_in_words(
    method: str, path: str, host: str, authorization: str, write: bool
) -> None:  # fmt: skip
    handler = ConsoleHandler(Secret(TOKEN), Link("/nothing"), ASSETS, write)
    headers = Headers([("Host", host), ("Authorization", authorization)])
    said = handler.admit(RequestHead(method, path, path, "", headers))
    if isinstance(said, int):
        assert host in ("127.0.0.1:80", "localhost") or is_here(headers)
        assert path.startswith(f"/{TOKEN}/") or authorization.lower() == f"bearer {TOKEN}"
        assert method in ("GET", "HEAD") or (method == "POST" and write)
        assert (said > 0) == (method == "POST")
    else:
        assert said.status >= 300
        assert len(said.body) > 10


@given(st.text(max_size=80))
def test_no_path_is_let_through_by_chance(path: str) -> None:
    """Whatever is let through has exactly the segments of one of the templates."""
    if kind_of(path):
        shapes = {template.count("/") for template in (*READS, *COMMANDS)}
        assert path.startswith("/v1/")
        assert path.count("/") in shapes


def test_the_page_names_no_other_host() -> None:
    """No address of anybody else in any file: nothing is loaded from outside, and there is no markup made of text."""
    for name, file in load_assets().items():
        text = file.body.decode().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?:|//[a-z]+\.", text), name
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|\sstyle=|\son[a-z]+=\"", text
        ), name


def test_every_file_of_the_page_is_packed() -> None:
    """What is in the folder is what is served, and the wheel holds it."""
    page = files("daemon.console") / "page"
    assert sorted(each.name for each in page.iterdir()) == sorted(load_assets())
    packed = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert "console/page/*" in packed["package-data"]["daemon"]
