"""First boot of each machine: pure functions from settings to a cloud-config document."""
