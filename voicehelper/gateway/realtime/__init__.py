"""`/v1/realtime`: voice sessions in the words of the OpenAI Realtime protocol (GA names)."""
