-- Names and terms that a tenant's callers say; most important first.
ALTER TABLE tenants ADD COLUMN hot_words text[] NOT NULL DEFAULT '{}';
