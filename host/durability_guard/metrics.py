"""The guard's state for Prometheus, through the node exporter's textfile collector. Pure.

The file's age says whether the guard still lives.
"""

from .decision import Exposure


def text(exposed: str | None, waiting_s: float, waiting_commits: int, *, blind: bool) -> str:
    """`exposed`: why commits are acknowledged without Barman, None if they are not. `blind`: the
    guard cannot ask the server, which runs."""
    lines = [
        "# HELP durability_guard_exposed Commits are acknowledged without Barman, by reason",
        "# TYPE durability_guard_exposed gauge",
        *(
            f'durability_guard_exposed{{reason="{reason}"}} {int(reason == exposed)}'
            for reason in Exposure
        ),
        "# HELP durability_guard_waiting_seconds How long Barman has confirmed no WAL",
        "# TYPE durability_guard_waiting_seconds gauge",
        f"durability_guard_waiting_seconds {waiting_s:.1f}",
        "# HELP durability_guard_waiting_commits Commits that wait for Barman",
        "# TYPE durability_guard_waiting_commits gauge",
        f"durability_guard_waiting_commits {waiting_commits}",
        "# HELP durability_guard_blind The guard cannot ask PostgreSQL, which runs",
        "# TYPE durability_guard_blind gauge",
        f"durability_guard_blind {int(blind)}",
    ]
    return "\n".join(lines) + "\n"
