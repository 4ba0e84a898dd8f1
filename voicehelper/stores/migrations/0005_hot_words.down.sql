ALTER TABLE tenants DROP COLUMN hot_words;
