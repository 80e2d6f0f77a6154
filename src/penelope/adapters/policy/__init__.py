"""The languages of policies: operators' expressions in CEL, and the organisation's rules in Rego."""
