"""Fakes that ship: held to the same conformance suites as the real adapters."""
