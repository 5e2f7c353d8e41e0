"""Which package of Debian brings an extension that this server lacks."""

# By the extension's name, without `postgresql-` and the version between.
_PACKAGES = {
    "address_standardizer": "postgis-3",
    "age": "age",
    "h3": "h3",
    "hll": "hll",
    "http": "http",
    "hypopg": "hypopg",
    "ip4r": "ip4r",
    "orafce": "orafce",
    "periods": "periods",
    "pg_cron": "cron",
    "pg_hint_plan": "pg-hint-plan",
    "pg_partman": "partman",
    "pg_qualstats": "pg-qualstats",
    "pg_repack": "repack",
    "pg_squeeze": "squeeze",
    "pg_stat_kcache": "pg-stat-kcache",
    "pgaudit": "pgaudit",
    "pglogical": "pglogical",
    "pgrouting": "pgrouting",
    "pgtap": "pgtap",
    "plpgsql_check": "plpgsql-check",
    "plr": "plr",
    "postgis": "postgis-3",
    "postgis_raster": "postgis-3",
    "postgis_sfcgal": "postgis-3",
    "postgis_tiger_geocoder": "postgis-3",
    "postgis_topology": "postgis-3",
    "prefix": "prefix",
    "rum": "rum",
    "semver": "semver",
    "tdigest": "tdigest",
    "tds_fdw": "tds-fdw",
    "timescaledb": "timescaledb",
    "unit": "unit",
    "vector": "pgvector",
}
_LANGUAGES = {"plperl": "plperl", "plperlu": "plperl", "plpython3u": "plpython3", "pltcl": "pltcl"}


def package(extension: str, version: str) -> str | None:
    """The package for PostgreSQL's major `version`; None where Debian has none that is known."""
    if extension in _LANGUAGES:
        return f"postgresql-{_LANGUAGES[extension]}-{version}"
    found = _PACKAGES.get(extension)
    return found and f"postgresql-{version}-{found}"
