-- The marker that restore drills look for: one row every ten seconds, numbered without a gap, so
-- that a restored copy shows up to which moment it is whole. Kept for eight days.
-- It must not wait for Barman, which may be away.
SET synchronous_commit = local;
CREATE SCHEMA IF NOT EXISTS drill;
CREATE TABLE IF NOT EXISTS drill.heartbeat (n bigint PRIMARY KEY, at timestamptz NOT NULL);
WITH beat AS (
    INSERT INTO drill.heartbeat SELECT coalesce(max(n), 0) + 1, clock_timestamp() FROM drill.heartbeat
    RETURNING n
)
DELETE FROM drill.heartbeat USING beat WHERE heartbeat.n <= beat.n - 8 * 8640 \watch 10
