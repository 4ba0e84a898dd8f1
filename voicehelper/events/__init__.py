"""What happened, told to whoever listens: the catalogue of events, the relay from the outbox, consumers."""
