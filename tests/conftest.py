"""What holds of every test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.adapters.official import judge


@pytest.fixture(autouse=True)
def no_violation() -> Iterator[None]:
    """No request and no answer that a platform's own description does not allow, whoever caught the error."""
    judge.violations.clear()
    yield
    assert judge.violations == []
