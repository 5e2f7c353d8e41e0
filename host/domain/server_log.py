"""Why a PostgreSQL server ended, from what it logged."""

# Logged for each attempt to connect to a server that is not up yet.
NOT_UP = "the database system is"
_ADDED = ("DETAIL:", "HINT:")


def reason(logged: str) -> str:
    """The last FATAL or PANIC line with its DETAIL and HINT; else the end of what was logged."""
    lines = [line for line in logged.splitlines() if NOT_UP not in line]
    for number in range(len(lines) - 1, -1, -1):
        if "FATAL:" in lines[number] or "PANIC:" in lines[number]:
            added = [
                line for line in lines[number + 1 : number + 3] if any(w in line for w in _ADDED)
            ]
            return "\n".join([lines[number], *added])
    return "\n".join(lines[-10:]) or "it logged nothing"
