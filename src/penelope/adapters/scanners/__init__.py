"""Scanners: what in texts, commands and patches is a secret, destroys, takes power, or leads outside."""
