"""What Prometheus and Alertmanager on the Barman machine are told: targets, alerts, delivery."""
