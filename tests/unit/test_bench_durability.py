"""The table of what waiting costs, from made-up rounds."""

from bench.durability import CLIENTS, LEVELS, Measured


def test_ratios_are_taken_within_a_round() -> None:
    found = Measured()
    for clients in CLIENTS:
        # The second round was run on a machine half as fast: the ratio is the same.
        found.tps["async", clients] = [1000.0, 500.0, 1000.0]
        found.tps["sync", clients] = [800.0, 400.0, 700.0]
        found.tps["sync-with-fallback", clients] = [800.0, 400.0, 800.0]
    found.guard_percent = {level: [0.2, 0.3, 0.4] for level in LEVELS}
    assert found.ratios("sync", 32) == [0.8, 0.8, 0.7]
    *rows, guard = found.rows()
    assert [row[0] for row in rows] == [str(clients) for clients in CLIENTS]
    assert rows[0][1:4] == ("1000 (500-1000)", "700 (400-800)", "0.80 (0.70-0.80)")
    assert guard[1] == "0.30 (0.20-0.40)"
