"""Ports: what the use cases need from models and engines. Each module holds a Protocol with its data types, and
beside it a deterministic fake for tests and a null where "off" is a legal configuration."""
