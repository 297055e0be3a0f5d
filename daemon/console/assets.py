"""The files of the page, read once: a request names one of them or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Final

from daemon.ingress.http_types import HttpResponse

INDEX: Final = "index.html"

_TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


def load_assets() -> Mapping[str, HttpResponse]:
    """Every file of the page by its name, as an answer."""
    found = {}
    for file in files("daemon.console").joinpath("page").iterdir():
        kind = file.name.rpartition(".")[2]
        if kind in _TYPES:
            found[file.name] = HttpResponse(200, file.read_bytes(), content_type=_TYPES[kind])
    return found
