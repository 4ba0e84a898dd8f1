"""What the ears' models have in common: sessions of onnxruntime, and spectra."""
