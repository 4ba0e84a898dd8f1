"""Which model answers: catalogue, routing, breakers, budgets, experiments. Behind it stand the chat actors, before it
whoever holds a `ChatModel`."""
