"""Validating admission policies: rules in CEL, stored as objects (KEP-3488)."""
