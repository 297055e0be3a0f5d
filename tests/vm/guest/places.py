"""Names and ports that the machine is built with and its checks rely on."""

from __future__ import annotations

CHANNELS = ("north", "south")
STOREFRONT_PORTS = {"north": 9101, "south": 9102}
PUBLIC_PORT = 8480
SECRET_MARK = "canary-"
"""Every secret begins so, and nothing else that may be logged does."""
PROGRAM = "/opt/onhand/bin/onhand"
CONFIG = "/etc/onhand/config.yaml"
UNIT_FOLDER = "/etc/systemd/system"
PAGER = "/usr/lib/checks/pager"
"""Who is told of alarms."""
ADMIN_SOCKET = "/run/onhand/admin.sock"
