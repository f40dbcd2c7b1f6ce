/* sqlitestmt: what sqlite.c asks and tells the tables of sqliteschema. Inside of sqlite.c. */
#pragma once

enum stmt {
    STMT_PUT,
    STMT_GET,
    STMT_TOUCH,
    STMT_NEED,
    STMT_LEASE,
    STMT_LEASE_STATE,
    STMT_RELEASE,
    STMT_REPLACE,
    STMT_DELETE,
    STMT_DELETE_VERSION,
    STMT_MACS,
    STMT_WIDEN_TOMB,
    STMT_ADD_TOMB,
    STMT_REVOKE_SID,
    STMT_REVOKE_SUB,
    STMT_LIST,
    STMT_USE,
    STMT_SWEEP_SESSIONS,
    STMT_SWEEP_ATTEMPTS,
    STMT_SWEEP_TOMBS,
    STMT_COUNT
};

#define ROW_COLUMNS "sid_mac, sub_mac, label, version, created_s, seen_s, expires_s, begun_ms, issued_s, need"

/* The tombstone of 32 zeroes speaks to everyone: see bury(). */
static const char *const STMT_SQL[STMT_COUNT] = {
    [STMT_PUT] =
        "INSERT INTO session (id, sid_mac, sub_mac, version, created_s, seen_s, expires_s, begun_ms, issued_s, need, label,"
        " secret) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12 WHERE NOT EXISTS (SELECT 1 FROM tomb"
        " WHERE mac IN (?2, ?3, zeroblob(32)) AND (begun_until_ms >= ?8 OR issued_until_s >= ?9))",
    [STMT_GET] = "SELECT " ROW_COLUMNS ", id, secret FROM session WHERE id = ?1",
    [STMT_TOUCH] = "UPDATE session SET seen_s = max(seen_s, ?2) WHERE id = ?1",
    [STMT_NEED] = "UPDATE session SET need = ?2 WHERE id = ?1",
    [STMT_LEASE] = "UPDATE session SET lease_until_s = ?4, lease_is_granting = ?5 WHERE id = ?1 AND version = ?2"
                   " AND (lease_until_s = 0 OR (lease_until_s <= ?3 AND lease_is_granting = 0))",
    [STMT_LEASE_STATE] = "SELECT version, lease_until_s FROM session WHERE id = ?1",
    [STMT_RELEASE] = "UPDATE session SET lease_until_s = 0, lease_is_granting = 0 WHERE id = ?1 AND version = ?2",
    [STMT_REPLACE] = "UPDATE session SET version = version + 1, label = ?3, secret = ?4, lease_until_s = 0, lease_is_granting = 0"
                     " WHERE id = ?1 AND version = ?2 AND NOT EXISTS (SELECT 1 FROM tomb"
                     " WHERE mac IN (sid_mac, sub_mac) AND issued_until_s >= issued_s)",
    [STMT_DELETE] = "DELETE FROM session WHERE id = ?1",
    [STMT_DELETE_VERSION] = "DELETE FROM session WHERE id = ?1 AND version = ?2",
    [STMT_MACS] = "SELECT sid_mac, sub_mac FROM session WHERE id = ?1",
    [STMT_WIDEN_TOMB] = "UPDATE tomb SET issued_until_s = max(issued_until_s, ?2), begun_until_ms = max(begun_until_ms, ?3),"
                        " expires_s = max(expires_s, ?4) WHERE mac = ?1",
    [STMT_ADD_TOMB] = "INSERT INTO tomb (mac, issued_until_s, begun_until_ms, expires_s) VALUES (?1, ?2, ?3, ?4)",
    [STMT_REVOKE_SID] = "DELETE FROM session WHERE sid_mac = ?1 AND issued_s <= ?2 RETURNING id",
    [STMT_REVOKE_SUB] = "DELETE FROM session WHERE sub_mac = ?1 AND issued_s <= ?2 RETURNING id",
    [STMT_LIST] = "SELECT " ROW_COLUMNS ", id, zeroblob(0) FROM session WHERE id > ?1 AND expires_s > ?2 ORDER BY id LIMIT ?3",
    [STMT_USE] = "INSERT INTO attempt (id, expires_s) VALUES (?1, ?2) ON CONFLICT (id) DO NOTHING",
    [STMT_SWEEP_SESSIONS] = "DELETE FROM session WHERE rowid IN (SELECT rowid FROM session WHERE expires_s <= ?1"
                            " UNION ALL SELECT rowid FROM session WHERE seen_s <= ?2 LIMIT ?3)",
    [STMT_SWEEP_ATTEMPTS] = "DELETE FROM attempt WHERE id IN (SELECT id FROM attempt WHERE expires_s <= ?1 LIMIT ?2)",
    [STMT_SWEEP_TOMBS] = "DELETE FROM tomb WHERE mac IN (SELECT mac FROM tomb WHERE expires_s <= ?1 LIMIT ?2)",
};
