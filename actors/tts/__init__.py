"""Speech synthesis: Kokoro on onnxruntime with phonemes of our own, and servers elsewhere, behind one port."""
