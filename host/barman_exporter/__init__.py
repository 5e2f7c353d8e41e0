"""The Barman exporter: what Prometheus cannot ask Barman itself, read from its files.

Runs on the Barman machine with Debian's python3-prometheus-client and python3-psycopg2. It is
installed as it is below /usr/local/lib, beside host.domain: of ours it imports nothing else.
"""
