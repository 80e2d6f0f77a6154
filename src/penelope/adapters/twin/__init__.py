"""The digital twin: copies of what a plan would change, and a sandbox in which a service's own checks run on them."""
