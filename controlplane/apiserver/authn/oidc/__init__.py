"""Tokens of OpenID Connect providers: who they name is asked of no store, only of the provider's keys."""
