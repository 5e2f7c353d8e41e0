"""The configuration of Prometheus and Alertmanager: targets, alerts, delivery."""
