"""Encryption at rest (--encryption-provider-config): what is stored is not what is cached."""
