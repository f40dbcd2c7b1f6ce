/* sqliteschema: how the tables came to be, a step per version. Inside of sqlite.c.
 *
 * Step i makes version i + 1 out of version i, in a transaction of its own that also sets PRAGMA user_version. A step that was
 * released is never changed: a new one is added. SQLite's own length checks keep a defect of ours out; what a hand at the file
 * changed is checked again when it is read. */
#pragma once

static const char *const SQLITE_STEPS[] = {
    "CREATE TABLE session ("
    " id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 32),"
    " sid_mac BLOB NOT NULL CHECK (length(sid_mac) = 32),"
    " sub_mac BLOB NOT NULL CHECK (length(sub_mac) = 32),"
    " version INTEGER NOT NULL,"
    " created_s INTEGER NOT NULL, seen_s INTEGER NOT NULL, expires_s INTEGER NOT NULL,"
    " label BLOB NOT NULL, secret BLOB NOT NULL) STRICT;"
    "CREATE INDEX session_expires ON session (expires_s);"
    "CREATE INDEX session_seen ON session (seen_s);"
    "CREATE TABLE attempt ("
    " id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 32),"
    " expires_s INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE INDEX attempt_expires ON attempt (expires_s);"
    "PRAGMA user_version = 1;",

    /* Of an older row the creation is the best that is known about its login. */
    "ALTER TABLE session ADD COLUMN begun_ms INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE session ADD COLUMN issued_s INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE session ADD COLUMN need INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE session ADD COLUMN lease_until_s INTEGER NOT NULL DEFAULT 0;" /* 0: none */
    "ALTER TABLE session ADD COLUMN lease_is_granting INTEGER NOT NULL DEFAULT 0;"
    "UPDATE session SET begun_ms = created_s * 1000, issued_s = created_s;"
    "CREATE INDEX session_sid ON session (sid_mac);"
    "CREATE INDEX session_sub ON session (sub_mac);"
    "CREATE TABLE tomb ("
    " mac BLOB NOT NULL PRIMARY KEY CHECK (length(mac) = 32),"
    " issued_until_s INTEGER NOT NULL, begun_until_ms INTEGER NOT NULL,"
    " expires_s INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE INDEX tomb_expires ON tomb (expires_s);"
    "PRAGMA user_version = 2;",
};

enum { SQLITE_SCHEMA_VERSION = sizeof(SQLITE_STEPS) / sizeof(SQLITE_STEPS[0]) };
