"""VoiceHelper: rules and use cases of the platform. Never imports ray."""

__version__ = "0.1.0"
