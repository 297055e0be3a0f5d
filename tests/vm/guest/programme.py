"""Every check, in its order; the machine that builds the disk reads this list, too, to miss none."""

from __future__ import annotations

from collections.abc import Callable

from . import held, page, service

CHECKS: dict[str, Callable[[], str]] = {
    "the machine boots": service.machine_booted,
    "README's commands": page.service_commands_work,
    "the unit is unchanged": service.unit_is_the_repository_s,
    "systemctl start": service.service_starts,
    "systemd-analyze security": service.exposure,
    "/healthz": service.health_is_200,
    "the process is confined": service.process_is_confined,
    "forbidden things fail": service.forbidden_things_fail,
    "onhand status as root": service.root_is_answered,
    "onhand status as others": service.others_are_not,
    "a sale": service.sale_reaches_the_other_shop,
    "signed webhooks": service.signatures_are_checked,
    "an alarm's command": service.alarm_is_told,
    "backup": service.backup_works,
    "SIGKILL": service.kill_is_survived,
    "watchdog (SIGSTOP)": service.hang_is_noticed,
    "systemctl stop": service.stop_drains,
    "wrong configuration": service.wrong_configuration_is_said_once,
    "README's socket commands": page.socket_commands_work,
    "socket activation": held.socket_starts_it,
    "restart under load": held.restarts_refuse_nobody,
    "SIGKILL under load": held.kills_refuse_nobody,
    "hopeless starts": held.hopeless_starts_end,
    "the books": service.books_agree,
    "stop with the socket": held.stopping_both_stops,
    "the journal": service.journal_is_clean,
}
