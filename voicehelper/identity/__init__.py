"""Tenants, users, passwords, tokens."""
