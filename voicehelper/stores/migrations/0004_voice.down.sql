DROP TABLE voice_journal;
DROP TABLE voice_sessions;
