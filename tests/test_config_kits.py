"""The kits of config.yaml: what is taken, and one sentence with its path for everything that is refused."""

from __future__ import annotations

import pytest

from daemon.config import ConfigError, read_config
from daemon.config_kits import COMPONENTS_MAX
from daemon.domain.channel import Platform
from daemon.domain.kits import UNITS_MAX
from tests.test_config import SANDBOX, never

PLATFORMS = {"sandbox": Platform("sandbox", never, inline_secrets=True, local=True)}


def read(kits: str) -> dict[str, tuple[tuple[str, int], ...]]:
    text = f"channels:\n  a: {{{SANDBOX}}}\nkits:{kits}"
    return dict(read_config(text, {}, PLATFORMS).kits)


def refused(kits: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        read(kits)
    return [f"{problem.path}: {problem.sentence}" for problem in raised.value.problems]


def test_skus_stay_as_they_are_written_and_components_are_sorted() -> None:
    assert read(" {0123: {NO: 2, '12:30': 1, 1e3: 10000}, Kit/ß: {TEE: 1}}") == {
        "0123": (("12:30", 1), ("1e3", UNITS_MAX), ("NO", 2)),
        "Kit/ß": (("TEE", 1),),
    }


def test_without_kits_there_are_none() -> None:
    assert dict(read_config(f"channels: {{a: {{{SANDBOX}}}}}", {}, PLATFORMS).kits) == {}


@pytest.mark.parametrize("units", ["0", "-1", "1.5", "two", "10001", "''", "[1]"])
def test_units_are_a_whole_number_of_at_least_one(units: str) -> None:
    (said,) = refused(f" {{SET: {{CUP: {units}}}}}")
    assert said.startswith("kits.SET.CUP: ")
    if units not in ("''", "[1]"):
        assert said == f"kits.SET.CUP: write a whole number from 1 to {UNITS_MAX}, not {units!r}"


@pytest.mark.parametrize(
    ("kits", "said"),
    [
        (" {SET: {}}", "kits.SET: name at least one component, like TEE-RED-M: 1"),
        ("\n  SET:", "kits.SET: there is no value: write one, or take the key out"),
        (" {SET: {SET: 1}}", "kits.SET.SET: a kit cannot hold itself: name the SKUs that are on the shelf"),
        (
            " {SET: {CUP: 1}, BOX: {SET: 1, CUP: 1}}",
            "kits.BOX.SET: this is a kit itself: name the components of that kit here instead",
        ),
        (" [SET]", "kits: write keys and values here, one 'key: value' a line"),
        (" {SET: CUP}", "kits.SET: write keys and values here, one 'key: value' a line"),
        ("", "kits: there is no value: write one, or take the key out"),
        (f" {{SET: {{{'x' * 201}: 1}}}}", f"kits.SET.{'x' * 201}: a SKU has 201 bytes; at most 200 can be kept"),
        (
            f" {{SET: {{{', '.join(f'C{n}: 1' for n in range(COMPONENTS_MAX + 1))}}}}}",
            f"kits.SET: there are {COMPONENTS_MAX + 1} components: a kit takes at most {COMPONENTS_MAX}",
        ),
    ],
)
def test_what_cannot_be_a_kit_is_one_sentence(kits: str, said: str) -> None:
    assert refused(kits) == [said]


def test_everything_wrong_is_said_at_once_with_its_line() -> None:
    with pytest.raises(ConfigError) as raised:
        read("\n  SET:\n    CUP: 0\n  BOX:\n    SET: 1\n  BOW:\n    BOW: 1\n")
    assert [(problem.path, problem.line) for problem in raised.value.problems] == [
        ("kits.SET.CUP", 5),
        ("kits.BOX.SET", 7),
        ("kits.BOW.BOW", 9),
    ]
