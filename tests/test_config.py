"""The configuration: what is taken, what is refused, and that everything wrong is said at once."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import NoReturn

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import PLATFORMS as REAL_PLATFORMS
from daemon.config import Config, ConfigError, HostPort, LimitSettings, load_config, read_config
from daemon.config_channels import COMMON_KEYS, NUMBER_TRAITS, WHOLE_TRAITS, ChannelConfig
from daemon.config_retention import RetentionSettings
from daemon.config_yaml import MAX_CONFIG_BYTES, MAX_PROBLEMS
from daemon.credentials import Secret, SecretRef, WebhookSecret
from daemon.domain.channel import Option, Platform, Setup, Traits
from daemon.domain.policy import Policy
from daemon.domain.sweep import SweepRules
from daemon.events import Severity
from daemon.ports import FileContents, read_file


def never(setup: Setup) -> NoReturn:
    raise AssertionError


PLATFORMS = {
    "sandbox": Platform("sandbox", never, inline_secrets=True, local=True),
    "woocommerce": Platform(
        "woocommerce",
        never,
        options=(Option("consumer_key", "the key", True, True), Option("consumer_secret", "the secret", True, True)),
    ),
    "shopify": Platform(
        "shopify",
        never,
        options=(
            Option("shop", "the shop's name", required=True),
            Option("api_version", "which version of the API"),
            Option("token", "the access token", required=True, secret=True),
        ),
        needs_base_url=False,
    ),
}

SANDBOX = "adapter: sandbox, base_url: 'http://127.0.0.1:9101', webhook_secrets: [secret-a]"
SHOPIFY = "adapter: shopify, shop: example, webhook_secrets: [{credential: w}], token: {credential: t}"
SITE = "adapter: woocommerce, webhook_secrets: [{credential: w}], consumer_key: {env: K}, consumer_secret: {env: S}"


def read(text: str, **environ: str) -> Config:
    return read_config(text, environ, PLATFORMS)


def one(entry: str) -> ChannelConfig:
    return read(f"channels:\n  a: {{{entry}}}").channels["a"]


def problems(text: str) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        read(text)
    return {problem.path: problem.sentence for problem in caught.value.problems}


def channel_problems(entry: str) -> dict[str, str]:
    found = problems(f"channels:\n  a: {{{entry}}}")
    return {path.removeprefix("channels.a."): sentence for path, sentence in found.items()}


# --- what is taken ------------------------------------------------------------------------------------------


def test_the_example_at_the_top_of_the_repository_is_taken() -> None:
    path = Path(__file__).parent.parent / "config.yaml"
    config = load_config(str(path), environ={}, platforms=REAL_PLATFORMS, read_file=read_file)
    assert list(config.channels) == ["north", "south", "outlet"]
    assert config.listen == HostPort("127.0.0.1", 8480)


def test_what_the_example_shows_commented_out_is_taken_too() -> None:
    text = (Path(__file__).parent.parent / "config.yaml").read_text()
    head, tail = text.split("channels:", 1)
    # A commented setting starts with one "# " and a key, or goes on with an indented line.
    uncommented = re.sub(r"^( *)# (?=[a-z_]+:|  )", r"\1", head + "channels:" + tail, flags=re.MULTILINE)
    config = read_config(uncommented, {}, REAL_PLATFORMS)
    shops = ["site", "europe", "commerce", "auctions", "mart", "marketplace", "tiktok", "crafts", "boutique"]
    assert list(config.channels) == ["north", "south", "outlet", *shops]
    assert config.limits == LimitSettings()
    assert config.public_url == "https://sync.example.com"
    newest, older = config.channels["site"].webhook_secrets
    assert (newest.name, newest.until_us) == ("site-webhook-2027", None)
    assert older.until_us == 1_801_353_600_000_000


@pytest.mark.parametrize("key", ["dedup_days", "deliveries_days", "deliveries_max", "drifts_max", "drift_days",
                                 "dead_letters_max", "dead_letters_days"])  # fmt: skip
def test_what_is_kept_has_a_safe_lower_bound(key: str) -> None:
    assert set(attrs.asdict(RetentionSettings())) == {
        "history_days", "dedup_days", "deliveries_days", "deliveries_max", "drifts_max", "drift_days",
        "dead_letters_max", "dead_letters_days",
    }  # fmt: skip
    found = problems(f"retention: {{{key}: 0}}\nchannels:\n  a: {{{SANDBOX}}}")
    assert list(found) == [f"retention.{key}"]
    low = int(re.search(r"from (\d+) to", found[f"retention.{key}"]).group(1))  # type: ignore[union-attr]  # it says so
    kept = read(f"retention: {{{key}: {low}}}\nchannels:\n  a: {{{SANDBOX}}}").retention
    assert getattr(kept, key) == low
    assert kept.dedup_us > 72 * 3_600_000_000


@pytest.mark.parametrize(("days", "problem"), [(0, False), (1, True), (29, True), (30, False)])
def test_events_are_kept_for_ever_or_for_a_month_at_least(days: int, problem: bool) -> None:
    text = f"retention: {{history_days: {days}}}\nchannels:\n  a: {{{SANDBOX}}}"
    if problem:
        assert problems(text) == {"retention.history_days": "must be 0 (for ever) or 30 at least"}
    else:
        assert read(text).retention.history_us == days * 86_400_000_000


@pytest.mark.parametrize(("old", "new"), [("dedup_days", "dedup_days"), ("retention_days", "deliveries_days")])
def test_keys_that_moved_say_where_to(old: str, new: str) -> None:
    found = problems(f"storage: {{{old}: 30}}\nchannels:\n  a: {{{SANDBOX}}}")
    assert found == {f"storage.{old}": f"write it as retention.{new} now"}


def test_defaults_are_filled_in() -> None:
    config = read(f"channels:\n  a: {{{SANDBOX}}}")
    assert config.state_dir == "./state"
    assert config.admin_socket == "./state/admin.sock"
    assert config.log_level is Severity.INFO
    assert config.authority is None
    assert config.channels["a"] == ChannelConfig(
        name="a",
        adapter="sandbox",
        base_url="http://127.0.0.1:9101",
        webhook_secrets=(SecretRef("inline", inline=Secret("secret-a")),),
        allow_private=True,
    )


def test_systemds_directories_win() -> None:
    text = f"state_dir: ./x\nadmin_socket: ./y\nchannels:\n  a: {{{SANDBOX}}}"
    config = read(text, STATE_DIRECTORY="/var/lib/onhand:/var/lib/other", RUNTIME_DIRECTORY="/run/onhand")
    assert (config.state_dir, config.admin_socket) == ("/var/lib/onhand", "/run/onhand/admin.sock")


def test_text_stays_exactly_as_written() -> None:
    for text in ("0123", "NO", "12:30", "1e3", "null", "~", "0x10", "2026-01-01", "yes"):
        assert one(SHOPIFY.replace("shop: example", f"shop: {text}")).options["shop"] == text


def test_channels_keep_the_order_of_the_file() -> None:
    names = ["zoo", "a", "m-2", "0"]
    text = "\n".join(
        f"  {name}: {{{SANDBOX.replace('9101', str(port))}}}" for port, name in enumerate(names, start=9000)
    )
    assert list(read(f"channels:\n{text}").channels) == names


def test_policy_numbers_go_into_the_policy() -> None:
    assert one(f"{SANDBOX}, buffer: 2, share: 0.25, cap: 9").policy == Policy(2, 0.25, 9)


def test_how_a_channel_is_compared_is_configured() -> None:
    channel = one(f"{SANDBOX}, drift: adopt, sweep_s: 600, sweep_share: 0.25, mass_change: 0")
    assert channel.policy == Policy(drift="adopt")
    assert channel.sweep == SweepRules(600.0, 0.25, 0.0)
    assert one(SANDBOX).policy.drift == "correct"
    assert one(SANDBOX).sweep == SweepRules(sweep_s=3_600.0, share=0.1, mass_change=0.2)


def test_the_platforms_own_keys_are_options_and_secrets() -> None:
    channel = one(f"{SHOPIFY}, rate_per_s: 2.5, batch_max: 50")
    assert channel.options == {"shop": "example"}
    assert channel.secrets == {"token": SecretRef("credential", "t")}
    assert channel.overrides == {"rate_per_s": 2.5, "batch_max": 50}
    assert isinstance(channel.overrides["batch_max"], int)


def test_a_channel_becomes_the_setup_of_its_adapter() -> None:
    asked: list[str] = []

    def resolve(ref: SecretRef, user: str) -> Secret:
        asked.append(user)
        return Secret(f"value of {ref.name}")

    setup = one(f"{SHOPIFY}, burst: 3").setup(resolve)
    assert (setup.channel, setup.base_url, setup.overrides) == ("a", "", {"burst": 3})
    assert setup.secrets == {"token": "value of t"}
    assert setup.webhook_secrets == ("value of w",)
    assert asked == ["channels.a.token", "channels.a.webhook_secrets[0]"]


def test_webhook_keys_know_their_end() -> None:
    entry = SHOPIFY.replace("{credential: w}", "{env: NEW}, {env: OLD, until: 1970-01-01T00:00:01+00:00}")
    keys = one(entry).webhook_keys(lambda ref, user: Secret(ref.name))
    assert keys == (WebhookSecret(Secret("NEW")), WebhookSecret(Secret("OLD"), until_us=1_000_000))


def test_no_platform_takes_a_key_that_every_channel_takes() -> None:
    for platform in REAL_PLATFORMS.values():
        assert not COMMON_KEYS & {option.name for option in platform.options}, platform.name
    listed = channel_problems(f"{SANDBOX}, qqqqqqqq: 1")["qqqqqqqq"].rpartition("are ")[2]
    assert set(listed.split(", ")) == COMMON_KEYS


def test_whatever_may_be_overridden_is_a_trait() -> None:
    kinds = {name.name: name.type for name in attrs.fields(Traits)}
    assert {kinds[name] for name in WHOLE_TRAITS} == {"int"}
    assert {kinds[name] for name in NUMBER_TRAITS} == {"float"}


def test_a_single_webhook_secret_needs_no_list_and_none_is_said_with_an_empty_one() -> None:
    assert len(one(SHOPIFY.replace("[{credential: w}]", "{credential: w}")).webhook_secrets) == 1
    assert one(SHOPIFY.replace("[{credential: w}]", "[]")).webhook_secrets == ()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("0.0.0.0:80", HostPort("0.0.0.0", 80)),
        ("'[::1]:8480'", HostPort("::1", 8480)),
        ("':8480'", HostPort("", 8480)),
        ("localhost:0", HostPort("localhost", 0)),
    ],
)
def test_listen_takes_names_addresses_and_every_interface(text: str, found: HostPort) -> None:
    config = read(f"listen: {text}\nchannels:\n  a: {{{SANDBOX}}}")
    assert config.listen == found
    assert str(config.listen) == text.strip("'")


@pytest.mark.parametrize(
    ("entry", "url", "private", "plain"),
    [
        (f"{SITE}, base_url: 'https://shop.example.com/'", "https://shop.example.com", False, False),
        (f"{SITE}, base_url: 'http://10.0.0.9:8080', allow_private: true", "http://10.0.0.9:8080", True, True),
        (f"{SITE}, base_url: 'http://localhost:8080'", "http://localhost:8080", True, True),
        (f"{SITE}, base_url: 'https://[::1]/shop'", "https://[::1]/shop", True, False),
        (SANDBOX.replace("127.0.0.1", "devbox"), "http://devbox:9101", True, True),
    ],
)
def test_addresses_that_are_taken(entry: str, url: str, private: bool, plain: bool) -> None:
    channel = one(entry)
    assert (channel.base_url, channel.allow_private, channel.allow_plain) == (url, private, plain)


# --- what is refused ----------------------------------------------------------------------------------------


def test_every_problem_is_said_at_once_in_the_order_of_the_file() -> None:
    text = f"""
lissten: 127.0.0.1:8480
limits: {{max_connections: many}}
channels:
  Shop: {{{SANDBOX}}}
  b: {{adapter: nope, buffer: -1}}
  c: {{{SITE}, share: 0}}
"""
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert str(caught.value).splitlines() == [
        "lissten: there is no such key: did you mean 'listen'? (line 2)",
        "limits.max_connections: write a whole number from 1 to 100000, not 'many' (line 3)",
        "channels.Shop: use 1 to 40 of a-z, 0-9 and '-' for a channel's name, and no '-' at its start (line 5)",
        "channels.b.adapter: write sandbox, shopify or woocommerce, not 'nope' (line 6)",
        (
            "channels.b.webhook_secrets: this key is missing: list the secrets that sign this channel's webhooks, "
            "newest first ([] to poll only) (line 6)"
        ),
        "channels.b.buffer: write a whole number from 0 to 1000000000, not '-1' (line 6)",
        "channels.c.base_url: this key is missing: write the address of the store, https://… (line 7)",
        "channels.c.share: write a number above 0 and up to 1, not '0' (line 7)",
    ]


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ("", "", "empty"),
        ("# nothing\n", "", "empty"),
        ("state_dir: ./state", "channels", "at least one"),
        ("channels: {}", "channels", "at least one"),
        ("channels: [a]", "channels", "keys and values"),
        ("- a", "", "keys and values"),
        ("channels: {a: {buffer: 1, buffer: 2}}", "channels.a.buffer", "twice"),
        ("channels: {a: {}, a: {}}", "channels.a", "twice"),
        ("a: &x 1\nb: *x", "a", "anchors"),
        ("a: 1\nb: *x", "b", "aliases"),
        ("a: !!python/object:os.system x", "a", "tags"),
        ("<<: {a: 1}", "<<", "no such key"),
        ("a: [", "", "not YAML"),
        ("a: '", "", "not YAML"),
        ("\tb: 2", "", "not YAML"),
        ("a: \x00", "", "not YAML"),
        ("a: 1\n---\nb: 2", "", "second document"),
        ("? [1]\n: 2", "", "plain word"),
        ("a: " + "[" * 10_000, "a" + "[0]" * 11, "nested deeper"),
        ("#" * (MAX_CONFIG_BYTES + 1), "", "larger than 1 MiB"),
        ("listen: 8480", "listen", "host:port"),
        ("listen: '::1:8480'", "listen", "host:port"),
        ("listen: 127.0.0.1:99999", "listen", "host:port"),
        ("log: {level: loud}", "log.level", "debug, info, warning or error"),
        ("log:", "log", "no value"),
        ("retention: {dedup_days: 3}", "retention.dedup_days", "from 7"),
        ("limits: {max_body_bytes: 2000000, max_buffered_bytes: 1500000}", "limits.max_buffered_bytes", "never fits"),
        ("limits: {max_connections_per_peer: 64}", "limits.max_connections_per_peer", "the proxy in front"),
        ("listen: '[::1]:1'\nlimits: {max_connections_per_peer: 64}", "limits.max_connections_per_peer", "::1"),
        ("public_url: http://sync.example.com", "public_url", "https"),
        ("public_url: sync.example.com", "public_url", "absolute URL"),
        ("admin_socket: /" + "x" * 108, "admin_socket", "107 bytes"),
        ("state_dir: [a]", "state_dir", "single value"),
    ],
)
def test_what_the_file_as_a_whole_must_not_hold(text: str, path: str, words: str) -> None:
    assert words in problems(text)[path]


@pytest.mark.parametrize(
    ("entry", "path", "words"),
    [
        ("buffer: 1", "adapter", "name the platform"),
        (f"{SANDBOX}, bufer: 1", "bufer", "did you mean 'buffer'"),
        (f"{SANDBOX}, cap: ", "cap", "no value"),
        (f"{SANDBOX}, buffer: 1.5", "buffer", "whole number"),
        (f"{SANDBOX}, buffer: 1_000", "buffer", "whole number"),
        (f"{SANDBOX}, buffer: ٣", "buffer", "whole number"),
        (f"{SANDBOX}, share: nan", "share", "above 0"),
        (f"{SANDBOX}, drift: ignore", "drift", "correct, adopt or report"),
        (f"{SANDBOX}, sweep_s: 0", "sweep_s", "from 1 to 604800"),
        (f"{SANDBOX}, sweep_share: 0", "sweep_share", "above 0"),
        (f"{SANDBOX}, mass_change: 20%", "mass_change", "from 0 to 1"),
        (f"{SANDBOX}, share: 50%", "share", "above 0"),
        (f"{SANDBOX}, authority: yes", "authority", "true or false"),
        (f"{SANDBOX}, http_client: requests", "http_client", "httpx or asks"),
        (f"{SANDBOX}, rate_per_s: 0", "rate_per_s", "above 0"),
        (f"{SANDBOX}, token: abc", "token", "no such key"),
        (SHOPIFY.replace("shop: example, ", ""), "shop", "the shop's name"),
        (SHOPIFY.replace(", token: {credential: t}", ""), "token", "the access token"),
        (f"{SITE}, base_url: http://shop.example.com", "base_url", "allow_private: true"),
        (f"{SITE}, base_url: 'https://10.0.0.9'", "base_url", "allow_private: true"),
        (f"{SITE}, base_url: shop.example.com", "base_url", "absolute URL"),
        (f"{SITE}, base_url: 'ftp://shop.example.com'", "base_url", "absolute URL"),
        (f"{SITE}, base_url: 'https://shop.example.com?a=b'", "base_url", "'?'"),
        (f"{SITE}, base_url: 'https://shop.example.com:x'", "base_url", "cannot be read"),
        (f"{SITE}, base_url: 'https://shop example.com'", "base_url", "blanks"),
        (SHOPIFY.replace("{credential: t}", "{credential: ../t}"), "token.credential", "no '/'"),
        (SHOPIFY.replace("{credential: t}", "{env: 1T}"), "token.env", "environment variable"),
        (SHOPIFY.replace("{credential: t}", "{file: ''}"), "token.file", "name the file"),
        (SHOPIFY.replace("{credential: t}", "{credential: t, env: T}"), "token", "in one way"),
        (SHOPIFY.replace("{credential: t}", "{vault: t}"), "token.vault", "no such key"),
        (SHOPIFY.replace("{credential: t}", "{credential: t, until: x}"), "token.until", "no such key"),
        (
            SHOPIFY.replace("{credential: w}", "{credential: w, until: 2027-01-31}"),
            "webhook_secrets[0].until",
            "offset",
        ),
        (SHOPIFY.replace("{credential: w}", ", ".join(["{env: W}"] * 9)), "webhook_secrets", "at most 8"),
    ],
)
def test_what_a_channel_must_not_hold(entry: str, path: str, words: str) -> None:
    assert words in channel_problems(entry)[path]


def test_a_secret_in_the_file_is_refused_and_never_repeated() -> None:
    entries = [
        SHOPIFY.replace("{credential: t}", "hunter2"),
        SHOPIFY.replace("{credential: w}", "hunter2"),
        SHOPIFY.replace("{credential: t}", "[hunter2]"),
        SHOPIFY.replace("{credential: t}", "{credential: hunter2/x}"),
        f"{SITE}, base_url: 'https://user:hunter2@shop.example.com'",
    ]
    for entry in entries:
        told = str(channel_problems(entry))
        assert "hunter2" not in told
        assert "secret" in told or "password" in told or "credential" in told


def test_an_inline_secret_does_not_show_in_the_configuration() -> None:
    assert "secret-a" not in repr(read(f"channels:\n  a: {{{SANDBOX}}}"))


def test_one_channel_alone_can_be_the_authority() -> None:
    text = f"channels:\n  a: {{{SANDBOX}, authority: true}}\n  b: {{{SHOPIFY}, authority: true}}"
    assert problems(text) == {
        "channels.b.authority": "only one channel can be the authority for counts, and a is it already"
    }
    assert read(text.replace(", authority: true}\n", "}\n")).authority == "b"


def test_one_account_under_two_names_is_refused() -> None:
    assert "twice" in problems(f"channels:\n  a: {{{SANDBOX}}}\n  b: {{{SANDBOX}, buffer: 1}}")["channels.b"]


def test_the_number_of_problems_is_bounded() -> None:
    text = "channels:\n" + "".join(f"  c{n}: {{adapter: x, buffer: y, cap: z}}\n" for n in range(150))
    assert len(problems(text)) == MAX_PROBLEMS


def test_a_file_that_cannot_be_read_is_one_sentence() -> None:
    def load(path: str, data: bytes = b"") -> str:
        reader = read_file if not data else lambda path, max_bytes: FileContents(data, 0o600)
        with pytest.raises(ConfigError) as caught:
            load_config(path, environ={}, platforms=PLATFORMS, read_file=reader)
        return str(caught.value)

    assert load("/nowhere/config.yaml") == (
        "/nowhere/config.yaml cannot be read (No such file or directory): name it with --config"
    )
    assert "it is not a regular file" in load("/dev/null")
    assert load("c.yaml", b"a: 1\n\xff") == "c.yaml is not UTF-8 text: save it as UTF-8 (line 2)"


@given(st.text(alphabet=st.sampled_from("abc: -[]{}&*!'\"\n\t#|>?,%@`~<0"), max_size=60))
def test_no_text_raises_anything_else(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert caught.value.problems


@given(st.text(max_size=30))
def test_no_value_raises_anything_else(text: str) -> None:
    quoted = text.replace("'", "''")
    with contextlib.suppress(ConfigError):
        read(f"listen: '{quoted}'\npublic_url: '{quoted}'\nchannels: {{a: {{{SITE}, base_url: '{quoted}'}}}}")
