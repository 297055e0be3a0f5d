"""AWS's own library for Python makes the same Signature Version 4 of every request."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import pytest
from attrs import evolve

from adapters.sigv4 import AwsKey, signed
from daemon.domain.exchange import Request
from daemon.domain.instants import SECOND_US
from tests.adapters.oracles import cases
from tests.adapters.oracles.libraries import library

CASES = 400
REGIONS = ("us-east-1", "eu-central-1", "ap-southeast-2", "cn-north-1", "us-gov-west-1")
HOSTS = ("https://sqs.{}.amazonaws.com/", "http://127.0.0.1:5000/", "https://sqs-fips.{}.amazonaws.com/a/b-c_d.e")


def asked(rng: random.Random) -> tuple[Request, AwsKey, str, int]:
    region, letters = rng.choice(REGIONS), "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
    headers = {"content-type": "application/x-amz-json-1.0", "x-amz-target": f"AmazonSQS.{rng.choice('abc')}"}
    headers |= {f"x-amz-meta-{place}": f" some {'  ' * place} text\t{place} " for place in range(rng.randrange(3))}
    session = rng.randbytes(60).hex() if rng.randrange(2) else ""
    key = AwsKey("AKIA" + "".join(rng.choices(letters, k=16)), rng.randbytes(30).hex() + "/+", session)
    request = Request("POST", rng.choice(HOSTS).format(region), headers, cases.written(cases.value(rng)))
    return request, key, region, rng.randrange(1_500_000_000, 1_900_000_000) * SECOND_US


def theirs(request: Request, key: AwsKey, region: str, now_us: int) -> Any:
    """The library's signer, and the request as it sees it at this moment: all but the proof."""
    auth, credentials = library("botocore.auth"), library("botocore.credentials")
    signer = auth.SigV4Auth(credentials.Credentials(key.key_id, key.secret, key.session or None), "sqs", region)
    plain = {name: value for name, value in request.headers.items() if name != "x-amz-date"}
    seen = library("botocore.awsrequest").AWSRequest("POST", request.url, plain, request.body)
    seen.context["timestamp"] = datetime.fromtimestamp(now_us // SECOND_US, UTC).strftime("%Y%m%dT%H%M%SZ")
    signer._modify_request_before_signing(seen)
    return signer, seen


def proof(signer: Any, seen: Any) -> str:
    text = signer.string_to_sign(seen, signer.canonical_request(seen))
    signer._inject_signature_to_request(seen, signer.signature(text, seen))
    return str(seen.headers["Authorization"])


@pytest.mark.slow
def test_every_request_is_signed_as_the_library_signs_it() -> None:
    rng = random.Random(12)
    for _ in range(CASES):
        request, key, region, now_us = asked(rng)
        ours = signed(request, key, region, "sqs", now_us)
        right = proof(*theirs(request, key, region, now_us))
        assert ours.secret_headers["authorization"] == right
        assert ours.secret_headers.get("x-amz-security-token", "") == key.session
        body = request.body[:-1] + bytes([request.body[-1] ^ 1])
        for other in (
            (evolve(request, body=body), key, region, now_us),
            (evolve(request, headers={**request.headers, "x-amz-target": "AmazonSQS.Other"}), key, region, now_us),
            (request, evolve(key, secret=key.secret + "x"), region, now_us),
            (request, key, "eu-west-9", now_us),
            (request, key, region, now_us + SECOND_US),
        ):
            assert proof(*theirs(*other)) != right
