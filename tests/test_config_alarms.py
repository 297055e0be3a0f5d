"""`alarms:` in the configuration: what is taken, and a clear sentence for everything else."""

from __future__ import annotations

import pytest

from daemon.config import ConfigError, read_config
from daemon.config_alarms import AlarmTargets, CommandTarget, WebhookTarget
from daemon.credentials import SecretRef
from tests.test_config import PLATFORMS, SANDBOX


def read(alarms: str) -> AlarmTargets:
    return read_config(f"channels:\n  a: {{{SANDBOX}}}\nalarms: {alarms}", {}, PLATFORMS).alarms


def test_nobody_is_told_by_default() -> None:
    assert read_config(f"channels:\n  a: {{{SANDBOX}}}", {}, PLATFORMS).alarms == AlarmTargets()


def test_both_targets_are_taken_with_their_defaults() -> None:
    found = read("{webhook: {url: 'https://hooks.example.com/x'}, command: {run: [/usr/local/bin/page, '0123']}}")
    assert found.webhook == WebhookTarget("https://hooks.example.com/x")
    assert found.command == CommandTarget(("/usr/local/bin/page", "0123"))


def test_the_address_and_the_key_may_be_secrets() -> None:
    found = read("{webhook: {url: {credential: where}, secret: {file: /etc/key}, timeout_s: 3, allow_private: true}}")
    assert found.webhook == WebhookTarget(
        SecretRef("credential", "where"), SecretRef("file", "/etc/key"), allow_private=True, timeout_s=3.0
    )


def test_this_very_machine_needs_no_permission() -> None:
    found = read("{webhook: {url: 'http://127.0.0.1:9000/x'}}").webhook
    assert found is not None
    assert found.allow_private


@pytest.mark.parametrize(
    ("alarms", "path", "sentence"),
    [
        ("{mail: x}", "mail", "there is no such key: the keys here are command, webhook"),
        ("{webhook: }", "webhook", "there is no value: write one, or take the key out"),
        ("{webhook: {secret: {env: K}}}", "webhook.url", "write the address to tell, https://…, or where it is kept"),
        ("{webhook: {url: [x]}}", "webhook.url", "write the address to tell, https://…, or where it is kept"),
        ("{webhook: {url: 'ftp://x.example.com'}}", "webhook.url", "write an absolute URL"),
        ("{webhook: {url: 'http://x.example.com'}}", "webhook.url", "write https://…; plain http is taken for"),
        ("{webhook: {url: 'https://10.0.0.1/x'}}", "webhook.url", "10.0.0.1 is not a public address: if it is meant"),
        ("{webhook: {url: 'https://x.example.com/?sig=1'}}", "webhook.url", "what follows the '?' is often a secret"),
        ("{webhook: {url: 'https://x.example.com', secret: whsec_AAAA}}", "webhook.secret", "a secret must not"),
        ("{webhook: {url: 'https://x.example.com', timeout_s: 0}}", "webhook.timeout_s", "write a number above 0"),
        ("{webhook: {url: 'https://x.example.com', retry: 3}}", "webhook.retry", "there is no such key"),
        ("{command: {timeout_s: 3}}", "command.run", "write the program and its arguments as a list"),
        ("{command: {run: 'page oncall'}}", "command.run", "write the program and its arguments as a list"),
        ("{command: {run: []}}", "command.run", "write the program and its arguments as a list"),
        ("{command: {run: [[a]]}}", "command.run", "write the program and its arguments as a list"),
        ("{command: {run: [page]}}", "command.run", "write the program with its whole path"),
        ("{command: {run: [/bin/page], timeout_s: 301}}", "command.timeout_s", "write a number above 0 and"),
        ("{command: {run: [/bin/page], shell: true}}", "command.shell", "there is no such key"),
    ],
)  # fmt: skip
def test_everything_else_is_refused_in_a_sentence(alarms: str, path: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(alarms)
    (problem,) = caught.value.problems
    assert problem.path == f"alarms.{path}"
    assert problem.sentence.startswith(sentence)
    assert "whsec_AAAA" not in str(caught.value)
