"""An SQS that is none of ours: moto's, over real HTTP on loopback. It refuses what is not signed as AWS wants it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from attrs import define, field

from adapters.sigv4 import AwsKey
from adapters.sqs import SqsQueue, sqs_queue
from tests.adapters.oracles.libraries import library

REGION = "us-east-1"
NAME = "spapi"
ALLOWED = ("ReceiveMessage", "DeleteMessageBatch", "SendMessage", "GetQueueAttributes", "CreateQueue")
"""What the key may do; here a batch is asked for by its own name (at AWS DeleteMessage allows it)."""


@define(eq=False)
class MotoQueue:
    """One queue there, and the key that may read it."""

    address: str
    """Of the server, http://127.0.0.1:PORT."""
    key: AwsKey
    client: Any = None
    """AWS's own client, for everybody but us."""
    url: str = ""
    late_ms: list[float] = field(factory=lambda: [0.0])
    """Its calendar is so far ahead of ours."""

    def queue(self, key: AwsKey | None = None) -> SqsQueue:
        """As a configured channel has it."""
        return sqs_queue(self.url, key or self.key, REGION)

    def put(self, body: str) -> str:
        """The platform tells something."""
        return str(self.client.send_message(QueueUrl=self.url, MessageBody=body)["MessageId"])

    def later(self, seconds: float) -> None:
        """Time passes there, and nowhere else."""
        self.late_ms[0] += seconds * 1_000

    def holds(self) -> tuple[int, int]:
        """Messages that wait; messages that were given out and are not deleted."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.client.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return int(found[names[0]]), int(found[names[1]])


@contextmanager
def moto_queue() -> Iterator[MotoQueue]:
    """A fresh account with an empty queue. Skips aloud where the extra [test] is not installed; in CI that fails."""
    settings, models = library("moto.settings"), library("moto.sqs.models")
    authorization = library("moto.core.authorization").ActionAuthenticatorMixin
    server = library("moto.moto_server.threaded_moto_server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server.start()
    host, port = server.get_host_and_port()
    address, clock = f"http://{host}:{port}", models.unix_time_millis
    try:
        iam = _client("iam", address, AwsKey("anybody", "anything"))
        iam.create_user(UserName="onhand")
        made = iam.create_access_key(UserName="onhand")["AccessKey"]
        rule = {"Effect": "Allow", "Action": [f"sqs:{name}" for name in ALLOWED], "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [rule]})
        iam.put_user_policy(UserName="onhand", PolicyName="queue", PolicyDocument=policy)
        found = MotoQueue(address, AwsKey(made["AccessKeyId"], made["SecretAccessKey"]))
        found.client = _client("sqs", address, found.key)
        with (
            mock.patch.object(settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0),
            mock.patch.object(authorization, "request_count", 0),
            mock.patch.object(models, "unix_time_millis", lambda: clock() + found.late_ms[0]),  # noqa: PT008  # it moves
        ):
            found.url = found.client.create_queue(QueueName=NAME)["QueueUrl"]
            yield found
        iam.close()
        found.client.close()
    finally:
        library("moto.core.base_backend").BackendDict.reset()
        server.stop()


def _client(service: str, address: str, key: AwsKey) -> Any:
    return library("botocore.session").get_session().create_client(
        service, region_name=REGION, endpoint_url=address, aws_access_key_id=key.key_id,
        aws_secret_access_key=key.secret,
    )  # fmt: skip
