"""The Barman exporter: what Prometheus cannot ask Barman itself, told by looking for oneself.

Runs on the Barman machine with Debian's python3-prometheus-client and python3-psycopg2; relative
imports only: it is installed as it is below /usr/local/lib.
"""
