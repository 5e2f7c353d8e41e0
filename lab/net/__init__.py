"""The lab's network: namespaces, bridges, firewall, address translation."""
