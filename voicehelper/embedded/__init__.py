"""The engines and model files of one machine."""
