"""Structured nonsense: sequences of deliveries, headers in every combination, configuration trees, stored rows."""

from __future__ import annotations

import string
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters import PLATFORMS
from adapters.stamps import rfc3339
from daemon.config import ConfigError, read_config
from daemon.config_yaml import Mapping, Node, Scalar, read_yaml
from daemon.config_yaml import Sequence as YamlSequence
from daemon.domain.channel import Delivery, Setup
from daemon.domain.instants import SECOND_US
from daemon.domain.stock import dump, load
from daemon.ingress.framing import Refusal, RequestFramer
from daemon.ingress.http_types import Headers, HttpRequest, Limits, RequestHead
from daemon.ingress.signature import header_map
from daemon.storage.codec import pack, unpack
from tests.fuzz.targets.receiving import PATHS, SECRET, Port, _ask, _furnish
from tests.fuzz.targets.signatures import _expected
from tests.fuzz.targets.webhooks import SANDBOX_ADAPTER
from tests.harness import START_US, housed

# --- sequences of deliveries ------------------------------------------------------------------------------------

UNITS = st.integers(0, 9)


@st.composite
def versions(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Versions of a few orders: a later version has a later stamp and never orders less than was cancelled."""
    found = []
    for order in draw(st.lists(st.sampled_from("PQR"), min_size=1, max_size=3, unique=True)):
        for version in range(1, 1 + draw(st.integers(1, 3))):
            at_us = START_US + version * 60 * SECOND_US
            lines = []
            for line in draw(st.lists(st.sampled_from("12"), max_size=2, unique=True)):
                ordered = draw(UNITS)
                cancelled = draw(st.integers(0, ordered))
                lines.append({"id": line, "sku": "A", "ordered": ordered, "cancelled": cancelled})
            stamp = rfc3339(at_us)
            found.append({"id": order, "version": version, "updated_at": stamp, "created_at": stamp, "lines": lines})
    return found


@st.composite
def tellings(draw: st.DrawFn) -> tuple[list[bytes], list[tuple[int, bool]]]:
    """Bodies, and two orders of telling them: each at least once, some twice, unsigned twins between them."""
    bodies = [msgspec.json.encode({"topic": "order.updated", "order": order}) for order in draw(versions())]
    places = list(range(len(bodies)))
    again = draw(st.lists(st.sampled_from(places), max_size=4))
    forged = draw(st.lists(st.sampled_from(places), max_size=3))
    told = [(place, True) for place in (*places, *again)] + [(place, False) for place in forged]
    return bodies, draw(st.permutations(told))


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(tellings())
def test_the_stock_is_the_same_whatever_order_and_however_often_it_is_told(
    told: tuple[list[bytes], list[tuple[int, bool]]],
) -> None:
    bodies, shuffled = told
    plain = [(place, True) for place in range(len(bodies))]
    assert trio.run(_stock_after, bodies, shuffled) == trio.run(_stock_after, bodies, plain)


async def _stock_after(bodies: list[bytes], told: Sequence[tuple[int, bool]]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        async with housed(Path(folder), run_blocking=_at_once) as house:
            port = await _furnish(house)
            for place, honest in told:
                status = await _post(port, bodies[place], honest=honest)
                assert status == (200 if honest else 401)
            state = house.registry.peek("A")
            assert state is not None
            assert house.registry.crashes == 0
            return pack((state.stock.available, sorted(map(str, state.stock.lines)), dump(state.stock)[3]))


async def _at_once(work: Any) -> Any:
    return work()


async def _post(port: Port, body: bytes, *, honest: bool) -> int:
    stamp = str(START_US // SECOND_US)
    signature = _expected(SANDBOX_ADAPTER.scheme, SECRET if honest else "a stranger's", stamp, body)
    headers = Headers((
        ("X-Sandbox-Signature", signature), ("X-Sandbox-Timestamp", stamp),
        ("X-Sandbox-Delivery", str(hash(body))), ("X-Sandbox-Topic", "order.updated"),
    ))  # fmt: skip
    return (await _ask(port, RequestHead("POST", PATHS[0], PATHS[0], "", headers), body)).status


# --- headers ----------------------------------------------------------------------------------------------------

TOKEN = st.text(string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~", min_size=1, max_size=12)
FRAMING = {"content-length", "transfer-encoding", "host", "expect", "connection", "upgrade", "content-encoding"}
VALUE = st.text(st.characters(codec="latin-1", categories=("L", "N", "P", "S", "Zs")), max_size=20)


@settings(deadline=None)
@given(st.lists(st.tuples(TOKEN, VALUE), max_size=12), st.binary(max_size=40), st.booleans())
def test_any_headers_come_out_as_they_went_in(pairs: list[tuple[str, str]], body: bytes, chunked: bool) -> None:
    pairs = [(name, value.strip(" \t")) for name, value in pairs if name.lower() not in FRAMING]
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
    lines = [f"{name}: {value}" for name, value in pairs]
    head = "\r\n".join(["POST /webhooks/a HTTP/1.1", "Host: x", framing, *lines, "", ""]).encode("latin-1")
    wire = head + (
        b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if chunked and body else b"0\r\n\r\n" if chunked else body
    )
    framer = RequestFramer(Limits(), lambda _: 1 << 20)
    step = framer.receive(wire)
    assert isinstance(step, HttpRequest), step
    assert step.body == body
    assert list(step.headers)[2:] == [(name.lower(), value) for name, value in pairs]
    assert not framer.has_rest


@given(
    st.lists(
        st.sampled_from(["Content-Length: 3", "Content-Length: 4", "Transfer-Encoding: chunked", "Host: y"]),
        min_size=2,
        max_size=4,
    )
)
def test_framing_that_is_said_twice_is_never_read(lines: list[str]) -> None:
    host = [] if any(line.startswith("Host") for line in lines) else ["Host: x"]
    names = [line.partition(":")[0] for line in (*host, *lines)]
    wire = "\r\n".join(["POST / HTTP/1.1", *host, *lines, "", ""]).encode() + b"3\r\nabc\r\n0\r\n\r\n"
    step = RequestFramer(Limits(), lambda _: 1 << 20).receive(wire)
    doubtful = len(set(names)) < len(names) or {"Content-Length", "Transfer-Encoding"} <= set(names)
    assert isinstance(step, Refusal) == doubtful


@given(st.lists(st.tuples(st.sampled_from(["sig", "ts", "x"]), VALUE), max_size=6))
def test_a_repeated_header_is_joined_and_so_verifies_nothing(pairs: list[tuple[str, str]]) -> None:
    joined = header_map(pairs)
    for name in joined:
        assert joined[name] == "\n".join(value for each, value in pairs if each == name)


# --- configuration ----------------------------------------------------------------------------------------------

WORD = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\x85\u2028\u2029\ufeff\ufffe\uffff"),
    min_size=1,
    max_size=12,
)
TREE = st.recursive(
    WORD, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORD, inner, max_size=4), max_leaves=12
)
KNOWN = st.sampled_from([
    "channels", "adapter", "base_url", "webhook_secrets", "limits", "storage", "log", "listen", "buffer", "share",
    "state_dir", "consumer_key", "until", "credential", "file", "env", "authority", "timeout_s", "public_url", "kits",
])  # fmt: skip
LEAF = WORD | st.sampled_from(
    [
        "sandbox",
        "woocommerce",
        "http://127.0.0.1:1",
        "https://shop.example",
        "1",
        "0.5",
        "true",
        "-1",
        "",
        "2027-01-31T00:00:00Z",
    ]
)
CONFIGS = st.dictionaries(
    KNOWN | WORD,
    st.recursive(
        LEAF,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KNOWN | WORD, inner, max_size=5),
        max_leaves=15,
    ),
    max_size=6,
)


def _plain(node: Node) -> Any:
    match node:
        case Scalar():
            return node.text
        case YamlSequence():
            return [_plain(item) for item in node.items]
        case Mapping():
            return {key: _plain(item) for key, item in node.entries.items()}


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(WORD, TREE, min_size=1, max_size=4))
def test_a_tree_that_is_written_as_yaml_is_read_as_it_was(tree: dict[str, Any]) -> None:
    root, problems = read_yaml(yaml.safe_dump(tree, allow_unicode=True, default_style='"'))
    assert [problem.sentence for problem in problems if "tags" not in problem.sentence] == []
    assert root is not None
    assert _plain(root) == tree


@settings(max_examples=60, deadline=None)
@given(CONFIGS)
def test_every_problem_of_a_configuration_has_a_place_and_one_sentence(tree: dict[str, Any]) -> None:
    text = yaml.safe_dump(tree, allow_unicode=True)
    try:
        read_config(text, {}, PLATFORMS)
    except ConfigError as error:
        found = [(problem.path, problem.sentence) for problem in error.problems]
        assert found
        assert len({path for path, _ in found}) == len(found), "one place is complained about once"
        for path, sentence in found:
            assert sentence
            assert "\n" not in f"{path}{sentence}"
            assert not path or path.startswith(("channels", *tree))
        return
    assert tree["channels"]


# --- stored rows ------------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
NUMBER = st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False)
PLAIN = st.recursive(
    st.none() | NUMBER | TEXT | st.binary(max_size=20), lambda inner: st.lists(inner, max_size=4), max_leaves=20
)


@given(PLAIN)
def test_what_is_packed_is_unpacked(value: Any) -> None:
    assert unpack(pack(value)) == value


def test_an_empty_stock_comes_back() -> None:
    stock = load(unpack(pack((0, (), (), (), ()))))
    assert unpack(pack(dump(stock))) == [0, [], [], [], []]


HEADER_NAMES = st.sampled_from(["x-sandbox-topic", "x-sandbox-delivery", "x-wc-webhook-topic", "content-type"])


@given(
    st.dictionaries(HEADER_NAMES, VALUE),
    PLAIN,
)
def test_no_headers_and_no_json_make_an_adapter_fail(headers: dict[str, str], body: Any) -> None:
    try:
        raw = msgspec.json.encode(body)
    except (TypeError, OverflowError):
        return
    for platform, secrets in (("sandbox", {}), ("woocommerce", {"consumer_key": "k", "consumer_secret": "s"})):
        facts = (
            PLATFORMS[platform]
            .build(Setup("a", "https://shop.example", secrets=secrets))
            .parse(Delivery(headers, raw))
        )
        assert facts.puzzle
