"""The voicehelper command."""
