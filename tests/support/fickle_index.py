"""An index in which pg_amcheck finds damage."""

# As a new release of the C library does to an index on text: the order of its values changes.
CHANGED_COLLATION = """
CREATE FUNCTION fickle(int, int) RETURNS int LANGUAGE sql AS
  'SELECT CASE WHEN $1 = $2 THEN 0 WHEN $1 > $2 THEN 1 ELSE -1 END';
CREATE OPERATOR CLASS fickle_ops FOR TYPE int USING btree AS
  OPERATOR 1 < (int, int), OPERATOR 2 <= (int, int), OPERATOR 3 = (int, int),
  OPERATOR 4 >= (int, int), OPERATOR 5 > (int, int), FUNCTION 1 fickle(int, int);
CREATE TABLE fickle AS SELECT i::int FROM generate_series(1, 1000) i;
CREATE INDEX fickle_i ON fickle (i fickle_ops);
CREATE OR REPLACE FUNCTION fickle(int, int) RETURNS int LANGUAGE sql AS
  'SELECT CASE WHEN $1 = $2 THEN 0 WHEN $1 < $2 THEN 1 ELSE -1 END';
"""
ALL_OF_IT = (
    "DROP TABLE fickle; DROP FUNCTION fickle(int, int) CASCADE; "
    "DROP OPERATOR FAMILY fickle_ops USING btree"
)
