"""Access tokens (JWT) of OpenID Connect issuers: whose they are, and whether they are good here (RFC 9068, RFC 8725)."""
