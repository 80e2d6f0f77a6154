"""Probes that measure a service for its benchmarks, a file a kind."""
