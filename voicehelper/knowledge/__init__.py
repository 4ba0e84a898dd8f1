"""Knowledge bases, documents, and the work of indexing them."""
