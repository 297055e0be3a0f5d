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
WANTED = "/usr/lib/checks/wanted"
"""What a person wants to have in a file, at the file's own path below it; and `drop-in`, for `systemctl edit`."""
PAGE = "/usr/lib/checks/page.json"
"""The lines of README.md that are typed in the machine, the folder where, and how long the lines before took (s)."""
HOME = "/root"
ROOT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
TYPED = 'cd "$0" && eval "$1"; code=$?; pwd >"$2"; exit $code'
"""A line typed in a folder, for `bash -c`: folder, line, and the file that says where the person stands then."""
