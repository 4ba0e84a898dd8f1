"""Speech recognisers behind the `SpeechToText` port."""
