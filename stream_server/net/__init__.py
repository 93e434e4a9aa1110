"""Outgoing connections, with deadlines and guards."""
