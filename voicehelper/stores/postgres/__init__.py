"""PostgreSQL: the pool, migrations, and one file per repository."""
