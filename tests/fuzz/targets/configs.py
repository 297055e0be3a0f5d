"""What an operator writes, config.yaml and secrets: what is wrong is told with its place and a remedy."""

from __future__ import annotations

from typing import Final

from adapters import PLATFORMS
from daemon.config import Config, ConfigError, read_config
from daemon.config_yaml import MAX_PROBLEMS, Mapping, Node, Scalar, Sequence, read_yaml
from daemon.credentials import CredentialError, Secret, SecretRef, resolve
from daemon.ports import FileContents
from tests.fuzz.target import Cut, Target

ENVIRONS: Final = ({}, {"STATE_DIRECTORY": "/var/lib/onhand:/x", "RUNTIME_DIRECTORY": "/run/onhand"})
DEPTH_MAX: Final = 13


def config(data: bytes) -> None:
    """A configuration that can be used, or every problem with its path and one sentence; never anything else."""
    cut = Cut(data)
    environ = cut.pick(ENVIRONS)
    text = cut.rest().decode("utf-8", "replace")
    try:
        found = read_config(text, environ, PLATFORMS)
    except ConfigError as error:
        _problems(error, text)
        return
    _usable(found)
    root, problems = read_yaml(text)
    assert root is not None
    assert not problems
    assert _depth(root) <= DEPTH_MAX


def _problems(error: ConfigError, text: str) -> None:
    assert 0 < len(error.problems) <= 2 * MAX_PROBLEMS
    for problem in error.problems:
        said = str(problem)
        assert problem.sentence
        assert problem.sentence == problem.sentence.strip()
        assert len(problem.sentence) < 1_000
        assert "\n" not in said, said
        assert "Traceback" not in said
        assert (
            0
            <= problem.line
            <= text.count("\n")
            + text.count("\r")
            + text.count("\x85")
            + text.count("\u2028")
            + text.count("\u2029")
            + 2
        )
        said.encode()


def _usable(found: Config) -> None:
    for text in (found.state_dir, found.admin_socket, found.public_url, found.listen.host):
        text.encode()
        assert "\0" not in text
    assert 0 <= found.listen.port <= 65_535
    for name, channel in found.channels.items():
        assert channel.name == name
        channel.base_url.encode("ascii")
        setup = channel.setup(lambda ref, user: Secret("k"))
        try:
            adapter = PLATFORMS[channel.adapter].build(setup)
        except ValueError as error:
            assert "\n" not in str(error)
            continue
        assert adapter.traits.batch_max >= 1
        for ref in channel.webhook_secrets:
            if ref.inline is not None:
                ref.inline.reveal().encode()
            assert ref.until_us is None or type(ref.until_us) is int


def _depth(node: Node) -> int:
    """How deep the tree is; its own walk, without recursion."""
    deepest, waiting = 0, [(node, 1)]
    while waiting:
        each, depth = waiting.pop()
        deepest = max(deepest, depth)
        match each:
            case Mapping():
                waiting += [(child, depth + 1) for child in each.entries.values()]
            case Sequence():
                waiting += [(child, depth + 1) for child in each.items]
            case Scalar():
                assert type(each.text) is str
    return deepest


def secrets(data: bytes) -> None:
    """A secret, or a sentence that never tells it."""
    cut = Cut(data)
    ref = SecretRef(cut.pick(("credential", "file", "env")), cut.pick(("token", "/run/secret", "TOKEN")))
    mode, absent = cut.number() & 0o7777, cut.byte() == 7
    content = cut.rest()
    environ = {"CREDENTIALS_DIRECTORY": "/run/credentials"}
    if not absent:
        environ["TOKEN"] = content.decode("utf-8", "surrogateescape")

    def read_file(path: str, max_bytes: int) -> FileContents:
        if absent:
            raise FileNotFoundError(2, "No such file or directory")
        return FileContents(content[: max_bytes + 1], mode)

    try:
        found = resolve(ref, environ, read_file, user="channels.site.token")
    except CredentialError as error:
        said = str(error)
        assert "\n" not in said
        assert said.startswith("channels.site.token: ")
        shown = content.decode("utf-8", "replace").strip()
        # The reference's own words may be the same as the secret's.
        if len(shown) > 40:
            assert shown not in said
        return
    value = found.reveal()
    assert value
    assert "\0" not in value
    assert content.startswith(value.encode())
    assert len(content) - len(value.encode()) <= 2
    assert value not in (repr(found), str(found), f"{found}")
    if ref.kind == "file":
        assert not mode & 0o027


_WHOLE: Final = b"""state_dir: ./state
listen: 127.0.0.1:8480
public_url: https://us.example
log: {level: info}
limits: {max_body_bytes: 1048576, max_connections: 100}
storage: {settlement_days: 30}
retention: {dedup_days: 14, dead_letters_max: 1000}
alarms: {webhook: {url: {env: U}, secret: {env: S}}, command: {run: [/bin/page]}}
channels:
  site:
    adapter: woocommerce
    base_url: https://shop.example.com
    consumer_key: {credential: ck}
    consumer_secret: {file: /run/cs}
    webhook_secrets: [{credential: a, until: 2027-01-31T00:00:00Z}, {env: B}]
    buffer: 1
    share: 0.5
    timeout_s: 20
  outlet:
    adapter: sandbox
    base_url: http://127.0.0.1:9101
    webhook_secrets: [secret-outlet]
    authority: true
    rate_per_s: 5.5
"""

TARGETS: Final = (
    Target(
        "config",
        config,
        "config.yaml, from its bytes to adapters that can be built",
        1_024,
        (
            b"channels:",
            b"  site:\n",
            b"    adapter: sandbox\n",
            b"    adapter: woocommerce\n",
            b"    base_url: http://127.0.0.1:1\n",
            b"    webhook_secrets: [s]\n",
            b"{credential: a}",
            b"{file: /x}",
            b"{env: A}",
            b"state_dir: ",
            b"listen: ",
            b"public_url: ",
            b"log: {level: debug}\n",
            b"limits: {",
            b"storage: {",
            b'"\\ud800"',
            b'"\\U0010FFFF"',
            b'"\\UFFFFFFFF"',
            b'"\\x00"',
            b"%YAML 1.1\n---\n",
            b"&a ",
            b"*a",
            b"!!python/object",
            b"<<: ",
            b"? ",
            b"- ",
            b"|\n",
            b">\n",
            b"\t",
            b"---",
            b"...",
            b"until: 2027-01-31T00:00:00Z",
            b"kits: {SET: {A: 2, B: 1}}\n",
        ),
        lambda: (
            b"\0" + _WHOLE,
            b"\1" + _WHOLE,
            b"\0" + _WHOLE.replace(b"share: 0.5", b"share: 1e5"),
            b"\0channels: {a: {adapter: nobody}}",
            b"\0" + b"[" * 40,
            b'\0state_dir: "a\\nb"\n',
            b"\0a: &x 1\nb: *x\n",
            b"\0? {a: b}\n: c\n",
            b"\0channels: {outlet: {adapter: sandbox, base_url: 'http://127.0.0.1:9101', webhook_secrets: [a]}}",
        ),
    ),
    Target(
        "secrets",
        secrets,
        "secrets in files, credentials and the environment",
        256,
        (b"\xff", b"\x00", b"\r\n", b"\xed\xa0\x80"),
        lambda: (
            b"\0\0\1\x80\0a secret\n",
            b"\1\1\1\xb6\0readable by all, and that is too many of them",
            b"\2\2\0\0\0v\r\n",
            b"\0\0\0\0\7",
        ),
    ),
)
