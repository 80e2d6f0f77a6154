"""Routers that split a service's traffic: one file a mesh or proxy."""
