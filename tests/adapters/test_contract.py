"""What every adapter promises, checked for each platform by its fixtures and by arbitrary input."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, fields
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters import PLATFORMS
from daemon.domain.access import Limits
from daemon.domain.channel import Delivery, Facts, LevelSeen, OrderSeen, Push, Traits
from daemon.domain.exchange import Request, Response
from daemon.domain.outcomes import Failure
from daemon.domain.signatures import Fetched, SignatureScheme
from tests.adapters import contract
from tests.adapters.contract import Fixture, fixtures

WEBHOOKS = fixtures("webhooks")
READS = fixtures("reads")
PUSHES = fixtures("pushes")
PLATFORM_NAMES = sorted(PLATFORMS)
PURE_MODULES = {
    "__future__", "abc", "base64", "binascii", "collections", "datetime", "decimal", "email", "enum", "functools",
    "hashlib", "heapq", "hmac", "html", "itertools", "json", "math", "operator", "re", "string", "typing", "urllib",
    "attrs", "msgspec", "xml", "zlib",
}  # fmt: skip

each_platform = pytest.mark.parametrize("platform", PLATFORM_NAMES)


def each(found: list[Fixture]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("fixture", found, ids=lambda fixture: fixture.name)


# --- webhooks -----------------------------------------------------------------------------------------------


@each(WEBHOOKS)
def test_a_genuine_delivery_verifies_and_gives_the_expected_facts(fixture: Fixture) -> None:
    adapter, delivery, wanted = contract.build(fixture.platform), fixture.delivery(), fixture.content["facts"]
    # What is fetched from a queue is genuine because it lay there: over HTTP, nothing of it is.
    fetched = isinstance(adapter.scheme, Fetched)
    assert contract.verifies(adapter.scheme, delivery, fixture.content.get("secret", "")) != fetched
    assert fetched == (adapter.queue is not None)
    assert not adapter.greet(delivery)
    facts = adapter.parse(delivery)
    assert (facts.topic, facts.identity) == (wanted["topic"], wanted["identity"])
    assert facts.orders == contract.expected(wanted.get("orders", []), tuple[OrderSeen, ...])
    assert facts.levels == contract.expected(wanted.get("levels", []), tuple[LevelSeen, ...])
    assert (facts.refetch, facts.look) == (tuple(wanted.get("refetch", ())), wanted.get("look", False))
    assert bool(facts.puzzle) == ("puzzle" in wanted)
    assert wanted.get("puzzle", "") in facts.puzzle


@each(WEBHOOKS)
def test_reading_a_delivery_twice_gives_the_same_facts(fixture: Fixture) -> None:
    delivery = fixture.delivery()
    assert contract.build(fixture.platform).parse(delivery) == contract.build(fixture.platform).parse(delivery)


@each(WEBHOOKS)
def test_what_is_kept_reads_the_same_without_any_headers(fixture: Fixture) -> None:
    adapter = contract.build(fixture.platform)
    facts = adapter.parse(fixture.delivery())
    again = adapter.parse(Delivery({}, facts.kept))
    assert evolve(again, identity=facts.identity) == facts


@each(WEBHOOKS)
def test_what_is_kept_holds_no_buyer_data(fixture: Fixture) -> None:
    facts = contract.build(fixture.platform).parse(fixture.delivery())
    for canary in contract.setup_of(fixture.platform)["canaries"]:
        assert canary not in repr(facts)
        assert canary not in json.dumps(facts.kept.decode(), ensure_ascii=False)


@each(WEBHOOKS)
def test_an_altered_delivery_never_verifies(fixture: Fixture) -> None:
    scheme, delivery = contract.build(fixture.platform).scheme, fixture.delivery()
    secret = fixture.content.get("secret", "")
    body = delivery.body
    flipped = [body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :] for at in range(0, len(body), 1 + len(body) // 16)]
    for forged in (*flipped, body[:-1], body + b" ", b"") if contract.covers_body(scheme) else ():
        assert not contract.verifies(scheme, evolve(delivery, body=forged), secret)
    assert not contract.verifies(scheme, delivery, secret + "x")
    assert not contract.verifies(scheme, evolve(delivery, headers={}), secret)
    if isinstance(scheme, SignatureScheme) and scheme.timestamp_header:
        later = {**delivery.headers, scheme.timestamp_header.lower(): "1"}
        assert not contract.verifies(scheme, evolve(delivery, headers=later), secret)


@each(fixtures("refusals"))
def test_a_forged_delivery_does_not_verify_and_is_read_without_raising(fixture: Fixture) -> None:
    adapter, delivery = contract.build(fixture.platform), fixture.delivery()
    assert not contract.verifies(adapter.scheme, delivery, fixture.content.get("secret", ""))
    assert isinstance(adapter.parse(delivery), Facts)


@each(fixtures("greetings"))
def test_a_greeting_is_recognised(fixture: Fixture) -> None:
    assert contract.build(fixture.platform).greet(fixture.delivery())


@each_platform
def test_absent_null_zero_and_broken_quantities_are_four_different_things(platform: str) -> None:
    found = {fixture.path.stem: fixture for fixture in fixtures("quantities") if fixture.platform == platform}
    assert set(found) == {"absent", "error", "null", "zero"}
    readings = []
    for name, fixture in sorted(found.items()):
        reading = reading_of(fixture)
        levels, puzzle = reading[:2]
        assert levels == fixture.content.get("levels", []), name
        assert fixture.content.get("puzzle", "") in puzzle, name
        assert bool(puzzle) == ("puzzle" in fixture.content), name
        assert (0 in levels) == (name == "zero"), name
        assert name == "zero" or set(levels) <= {None}, name
        readings.append(reading)
    assert all(one not in readings[at + 1 :] for at, one in enumerate(readings))


def reading_of(fixture: Fixture) -> tuple[list[int | None], str, tuple[str, ...], bool]:
    """What a level message says, or, of a platform whose webhooks hold no level, a read of levels."""
    adapter = contract.build(fixture.platform)
    if "call" not in fixture.content:
        facts = adapter.parse(fixture.delivery())
        return [seen.level for seen in facts.levels], facts.puzzle, facts.refetch, facts.look
    value = talk(fixture, contract.start(adapter, fixture.content["call"], fixture.content["args"]))
    if isinstance(value, Failure):
        return [], value.reason, (), False
    return [seen.level for seen in value], "", (), False


# --- reads and pushes by fixture ----------------------------------------------------------------------------


def talk(fixture: Fixture, conversation: Any) -> Any:
    """Run a fixture's conversation, checking each request on the way."""
    steps, config = fixture.content["steps"], contract.setup(fixture.platform)
    hosts = contract.build(fixture.platform).hosts
    canned = contract.responses(steps, fixture.path.parent)
    value, asked = contract.converse(conversation, iter(canned))
    assert len(asked) == len(steps)
    for request, step in zip(asked, steps, strict=True):
        contract.check_discreet(request, config, fixture.content.get("call", ""), hosts)
        contract.check_request(request, step["request"])
    return value


@each(READS)
def test_a_read_asks_as_expected_and_understands_the_answer(fixture: Fixture) -> None:
    call = fixture.content["call"]
    value = talk(fixture, contract.start(contract.build(fixture.platform), call, fixture.content["args"]))
    assert contract.is_read(call, value)
    if "failure" in fixture.content:
        assert isinstance(value, Failure)
        contract.check_outcome(value.outcome, fixture.content["failure"])
    else:
        assert value == contract.expected(fixture.content["value"], contract.READS[call])


@each(PUSHES)
def test_a_push_asks_as_expected_and_gives_the_expected_outcomes(fixture: Fixture) -> None:
    batch = contract.pushes_of(fixture)
    adapter, job = contract.build(fixture.platform), fixture.content.get("job")
    conversation = adapter.push(batch, fixture.content["key"]) if job is None else adapter.follow(batch, job)
    outcomes = talk(fixture, conversation)
    assert len(outcomes) == len(batch) == len(fixture.content["outcomes"])
    for outcome, wanted in zip(outcomes, fixture.content["outcomes"], strict=True):
        assert contract.is_outcome(outcome)
        contract.check_outcome(outcome, wanted)


# --- arbitrary input ----------------------------------------------------------------------------------------

HEADER_NAMES = ["date", "retry-after", "content-type", "link", "x-wp-totalpages", "x-total-count", "location"]
HEADER_VALUES = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        ["0", "1", "-1", "1e9", "99999999999", "Mon, 23 Nov 2026 06:00:00 GMT", "<https://evil.example/>"]
    ),
)
JSON_VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-3, 3), st.just(10**30), st.floats(allow_nan=False), st.text(max_size=8)
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=6), inner, max_size=4)),
    max_leaves=8,
)  # fmt: skip


LEFT_OUT = object()
CHANGES = st.lists(st.tuples(st.integers(0, 400), st.one_of(st.just(LEFT_OUT), JSON_VALUES)), max_size=3)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) in a JSON value."""
    keys: list[Any] = list(value) if isinstance(value, dict) else list(range(len(value)))
    found = [(value, key) for key in keys]
    return found + [place for key in keys if isinstance(value[key], dict | list) for place in places(value[key])]


def mutated(body: bytes, changes: list[tuple[int, Any]]) -> bytes:
    """The JSON body with a few of its parts left out or replaced; other bodies stay as they are."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return body
    for at, new in changes:
        found = places(value) if isinstance(value, dict | list) else []
        if found:
            container, key = found[at % len(found)]
            if new is LEFT_OUT:
                del container[key]
            else:
                container[key] = new
    return json.dumps(value).encode()


def bodies(genuine: list[bytes]) -> st.SearchStrategy[bytes]:
    """Genuine bodies, whole, cut or changed here and there; arbitrary JSON; arbitrary bytes."""
    seeds = st.sampled_from(genuine or [b"{}"])
    cut = st.tuples(seeds, st.integers(0, 2000)).map(lambda drawn: drawn[0][: drawn[1] % (len(drawn[0]) + 1)])
    arbitrary = JSON_VALUES.map(lambda value: json.dumps(value).encode())
    return st.one_of(st.builds(mutated, seeds, CHANGES), cut, arbitrary, st.binary(max_size=80))


@cache
def webhook_bodies(platform: str) -> st.SearchStrategy[bytes]:
    return bodies([fixture.body() for fixture in WEBHOOKS if fixture.platform == platform])


@cache
def answers(platform: str) -> st.SearchStrategy[list[Response]]:
    """A few arbitrary answers, many of them near to a genuine one."""
    genuine = [
        response.body
        for fixture in (*READS, *PUSHES)
        if fixture.platform == platform
        for response in contract.responses(fixture.content["steps"], fixture.path.parent)
    ]
    statuses = st.one_of(st.just(200), st.sampled_from([201, 204, 302, 400, 401, 404, 409, 413, 422, 429, 500, 503]))
    headers = st.dictionaries(st.sampled_from(HEADER_NAMES), HEADER_VALUES, max_size=3)
    return st.lists(st.builds(Response, statuses, headers, bodies(genuine)), max_size=6)


@each_platform
@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_reading_a_delivery_never_raises_and_what_is_kept_stays_the_same(platform: str, data: st.DataObject) -> None:
    adapter = contract.build(platform)
    genuine = [fixture for fixture in WEBHOOKS if fixture.platform == platform]
    headers = data.draw(
        st.one_of(
            st.dictionaries(st.text(max_size=20), st.text(max_size=40), max_size=3),
            st.sampled_from([dict(fixture.delivery().headers) for fixture in genuine]),
        )
    )
    delivery = Delivery(headers, data.draw(webhook_bodies(platform)))
    facts = adapter.parse(delivery)
    assert isinstance(facts, Facts)
    assert adapter.greet(delivery) in (True, False)
    again = adapter.parse(Delivery({}, facts.kept))
    assert evolve(again, identity=facts.identity) == facts
    for seen in facts.levels:
        assert seen.level is None or type(seen.level) is int


@each_platform
@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_read_raises_or_goes_astray_whatever_is_answered(platform: str, data: st.DataObject) -> None:
    adapter, config = contract.build(platform), contract.setup(platform)
    text = st.text(max_size=12)
    call, args = data.draw(
        st.one_of(
            st.tuples(st.just("orders"), st.tuples(st.integers(-5, 2**62), text)),
            st.tuples(st.just("order"), st.tuples(text)),
            st.tuples(st.just("listings"), st.tuples(text)),
            st.tuples(st.just("levels"), st.tuples(st.lists(text, max_size=5, unique=True))),
            st.tuples(st.just("webhooks"), st.just(())),
            st.tuples(st.just("register"), st.tuples(text, text, st.none())),
            st.sampled_from([(f.content["call"], tuple(f.content["args"])) for f in READS if f.platform == platform]),
        )
    )
    value, asked = contract.converse(
        contract.start(adapter, call, args), iter(data.draw(answers(platform))), sane=False
    )
    assert contract.is_read(call, value)
    for request in asked:
        contract.check_discreet(request, config, call, adapter.hosts)


@each_platform
@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_no_answer_whatever_makes_the_rate_limits_raise(platform: str, data: st.DataObject) -> None:
    adapter = contract.build(platform)
    for response in data.draw(answers(platform)):
        found = adapter.limits(response)
        assert found is None or isinstance(found, Limits)


@each_platform
def test_a_token_is_placed_where_nothing_shows_it_and_not_everywhere(platform: str) -> None:
    adapter, config = contract.build(platform), contract.setup(platform)
    assert len({source.name for source in adapter.tokens}) == len(adapter.tokens)
    for source in adapter.tokens:
        assert source.name.isalnum()
        request = source.place(Request("GET", f"{config.base_url}/x"), "token-0123456789")
        contract.check_discreet(request, evolve(config, secrets={"token": "token-0123456789"}), "", adapter.hosts)
        shown = {**request.secret_headers, **request.secret_query}
        assert any("token-0123456789" in value for value in shown.values())
        assert config.secrets.get("refresh_token", "") == source.refresh or not source.refresh


PUSH_LISTS = st.lists(
    st.builds(Push, st.text(max_size=8), st.integers(0, 9), st.none() | st.integers(-3, 9), st.integers(1, 9)),
    min_size=1, max_size=12, unique_by=lambda push: push.listing,
)  # fmt: skip


@each_platform
@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_every_pushed_item_has_one_outcome_whatever_is_answered(platform: str, data: st.DataObject) -> None:
    adapter, config = contract.build(platform), contract.setup(platform)
    batches = [contract.pushes_of(fixture) for fixture in PUSHES if fixture.platform == platform]
    pushes = data.draw(st.one_of(PUSH_LISTS, st.sampled_from(batches)))
    for batch in adapter.batches(pushes):
        outcomes, asked = contract.converse(
            adapter.push(batch, "key-1"), iter(data.draw(answers(platform))), sane=False
        )
        assert len(outcomes) == len(batch)
        assert all(contract.is_outcome(outcome) for outcome in outcomes)
        for request in asked:
            contract.check_discreet(request, config, hosts=adapter.hosts)


@each_platform
@given(pushes=PUSH_LISTS)
def test_batches_keep_every_push_once_and_within_the_limit(platform: str, pushes: list[Push]) -> None:
    adapter = contract.build(platform, {"batch_max": 5})
    batches = adapter.batches(pushes)
    assert sorted(push.listing for batch in batches for push in batch) == sorted(push.listing for push in pushes)
    assert all(1 <= len(batch) <= adapter.traits.batch_max for batch in batches)
    place = {push.listing: at for at, push in enumerate(pushes)}
    for batch in batches:
        assert [place[push.listing] for push in batch] == sorted(place[push.listing] for push in batch)
    assert adapter.batches([]) == []


# --- what can be seen without running it --------------------------------------------------------------------


@each_platform
def test_a_conversation_can_be_dropped_at_any_point(platform: str) -> None:
    for fixture in (found for found in READS if found.platform == platform):
        conversation = contract.start(contract.build(platform), fixture.content["call"], fixture.content["args"])
        if fixture.content["steps"]:
            next(conversation)
        conversation.close()


@each_platform
def test_every_trait_can_be_overridden(platform: str) -> None:
    for trait in fields(Traits):
        standard = getattr(contract.build(platform).traits, trait.name)
        if type(standard) is bool:
            continue
        changed = getattr(contract.build(platform, {trait.name: standard + 1}).traits, trait.name)
        assert changed == standard + 1
        assert type(changed) is type(standard)


@each_platform
def test_every_platform_has_the_fixtures_it_needs(platform: str) -> None:
    assert {fixture.platform for fixture in fixtures("refusals")} >= {platform}
    assert {fixture.content["call"] for fixture in READS if fixture.platform == platform} >= {
        "orders", "order", "listings", "levels", "webhooks",
    }  # fmt: skip
    pushes = [fixture for fixture in PUSHES if fixture.platform == platform]
    kinds = {outcome["kind"] for fixture in pushes for outcome in fixture.content["outcomes"]}
    assert kinds >= {"ok", "throttled", "permanent", "unknown"}
    bodies = b"".join(fixture.body() for fixture in WEBHOOKS if fixture.platform == platform).decode()
    canaries = contract.setup_of(platform)["canaries"]
    assert canaries
    assert all(canary in bodies for canary in canaries)


@each_platform
def test_an_adapter_imports_the_domain_and_pure_modules_only(platform: str) -> None:
    pending, done = [contract.known(platform).build.__module__], set()
    while pending:
        name = pending.pop()
        done.add(name)
        source = Path(inspect.getfile(importlib.import_module(name))).read_text("utf-8")
        for imported in imports_of(source):
            top = imported.partition(".")[0]
            assert top in PURE_MODULES or imported.startswith(("daemon.domain.", "adapters")), f"{name}: {imported}"
            if top == "adapters" and imported not in done and imported in sys.modules and imported != "adapters":
                pending.append(imported)


def imports_of(source: str) -> list[str]:
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import():
                found += [alias.name for alias in node.names]
            case ast.ImportFrom(module=str(module), level=0):
                found += [module]
                found += [f"{module}.{alias.name}" for alias in node.names if module.startswith("adapters")]
            case ast.ImportFrom():
                raise AssertionError("relative imports hide where a line leads")
    return found
