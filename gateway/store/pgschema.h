/* pgschema: the tables and functions in PostgreSQL, a step per version. Inside of postgres.c, whose opening comment says why the
 * operations are functions.
 *
 * Step i makes version i + 1 out of version i, in a transaction of its own. A step that was released is never changed: a new one is
 * added. All names are found through search_path, which a connection of ours sets to the schema alone.
 * Counting: a trigger keeps the number of rows in PGSCHEMA_SLOTS places by the first byte of the id, so that caps hold over all
 * replicas and writers seldom meet; ids are digests, so the places fill evenly. */
#pragma once

#define PGSCHEMA_NAME "repogate"
#define PGSCHEMA_CHANNEL "repogate"
/* For all who create or migrate the schema: "repogate" in ASCII. */
#define PGSCHEMA_LOCK "8243118316749681765"

enum { PGSCHEMA_SLOTS = 16, PGSCHEMA_ROWS_MAX = 1000 * 1000 };

/* What the functions answer. */
enum pgschema_answer { PG_DONE = 0, PG_GONE = 1, PG_BURIED = 2, PG_TWICE = 3, PG_HELD = 4, PG_CHANGED = 5, PG_LOST = 6 };

static const char *const PGSCHEMA_STEPS[] = {
    "CREATE TABLE session ("
    " id bytea PRIMARY KEY CHECK (octet_length(id) = 32),"
    " sid_mac bytea NOT NULL CHECK (octet_length(sid_mac) = 32),"
    " sub_mac bytea NOT NULL CHECK (octet_length(sub_mac) = 32),"
    " version bigint NOT NULL,"
    " created_s bigint NOT NULL, seen_s bigint NOT NULL, expires_s bigint NOT NULL,"
    " begun_ms bigint NOT NULL, issued_s bigint NOT NULL, need bigint NOT NULL,"
    " lease_until timestamptz, lease_is_granting boolean NOT NULL DEFAULT false, lease_by text,"
    " label bytea NOT NULL, secret bytea NOT NULL);"
    "CREATE INDEX session_expires ON session (expires_s);"
    "CREATE INDEX session_seen ON session (seen_s);"
    "CREATE INDEX session_sid ON session (sid_mac);"
    "CREATE INDEX session_sub ON session (sub_mac);"
    /* Sealed bytes don't compress. */
    "ALTER TABLE session ALTER COLUMN secret SET STORAGE EXTERNAL;"
    "CREATE TABLE attempt (id bytea PRIMARY KEY CHECK (octet_length(id) = 32), expires_s bigint NOT NULL);"
    "CREATE INDEX attempt_expires ON attempt (expires_s);"
    "CREATE TABLE tomb (id bytea PRIMARY KEY CHECK (octet_length(id) = 32),"
    " issued_until_s bigint NOT NULL, begun_until_ms bigint NOT NULL, expires_s bigint NOT NULL);"
    "CREATE INDEX tomb_expires ON tomb (expires_s);"

    "CREATE TABLE held (kind text, slot integer, n bigint NOT NULL, n_max bigint NOT NULL, PRIMARY KEY (kind, slot))"
    " WITH (fillfactor = 50);"
    /* The triggers' functions name their search_path, for whoever deletes rows by hand. */
    "INSERT INTO held SELECT kind, slot, 0, 62500 FROM unnest(ARRAY['session', 'attempt', 'tomb']) AS kind,"
    " generate_series(0, 15) AS slot;"
    "CREATE FUNCTION held_add() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$ BEGIN"
    "  UPDATE held SET n = n + 1 WHERE kind = TG_TABLE_NAME AND slot = get_byte(NEW.id, 0) & 15 AND n < n_max;"
    "  IF NOT FOUND THEN RAISE EXCEPTION 'too many rows in %', TG_TABLE_NAME USING ERRCODE = 'configuration_limit_exceeded'; END IF;"
    "  RETURN NULL; END $$;"
    "CREATE FUNCTION held_subtract() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$ DECLARE r record; BEGIN"
    "  FOR r IN SELECT get_byte(id, 0) & 15 AS slot, count(*) AS n FROM gone GROUP BY 1 ORDER BY 1 LOOP"
    "   UPDATE held SET n = held.n - r.n WHERE kind = TG_TABLE_NAME AND held.slot = r.slot;"
    "  END LOOP; RETURN NULL; END $$;"
    "CREATE FUNCTION held_forget() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$ BEGIN"
    "  UPDATE held SET n = 0 WHERE kind = TG_TABLE_NAME; RETURN NULL; END $$;"
    "DO $$ DECLARE t text; BEGIN FOREACH t IN ARRAY ARRAY['session', 'attempt', 'tomb'] LOOP"
    "  EXECUTE format('CREATE TRIGGER held_add AFTER INSERT ON %I FOR EACH ROW EXECUTE FUNCTION held_add()', t);"
    "  EXECUTE format('CREATE TRIGGER held_subtract AFTER DELETE ON %I REFERENCING OLD TABLE AS gone FOR EACH STATEMENT"
    " EXECUTE FUNCTION held_subtract()', t);"
    "  EXECUTE format('CREATE TRIGGER held_forget AFTER TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION held_forget()', t);"
    " END LOOP; END $$;"

    /* The tombstone that speaks to everyone stands from the start and is never swept. */
    "CREATE FUNCTION everyone() RETURNS bytea LANGUAGE sql IMMUTABLE AS $$ SELECT decode(repeat('00', 32), 'hex') $$;"
    "CREATE FUNCTION everyone_add() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$ BEGIN"
    "  INSERT INTO tomb VALUES (everyone(), -9223372036854775808, -9223372036854775808, 9223372036854775807); RETURN NULL; END $$;"
    "INSERT INTO tomb VALUES (everyone(), -9223372036854775808, -9223372036854775808, 9223372036854775807);"
    "CREATE TRIGGER zz_everyone AFTER TRUNCATE ON tomb FOR EACH STATEMENT EXECUTE FUNCTION everyone_add();"

    "CREATE FUNCTION mac_key(mac bytea) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$"
    "  SELECT ('x' || encode(substr(mac, 1, 8), 'hex'))::bit(64)::bigint $$;"
    "CREATE FUNCTION tell(change text, id bytea) RETURNS void LANGUAGE sql AS $$"
    "  SELECT pg_notify('" PGSCHEMA_CHANNEL "', change || encode(id, 'hex') || ' ' || current_setting('repogate.teller')) $$;"

    "CREATE FUNCTION session_put(_id bytea, _sid_mac bytea, _sub_mac bytea, _version bigint, _created_s bigint, _seen_s bigint,"
    " _expires_s bigint, _begun_ms bigint, _issued_s bigint, _need bigint, _label bytea, _secret bytea)"
    " RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN"
    "  PERFORM pg_advisory_xact_lock_shared(mac_key(_sid_mac));"
    "  PERFORM pg_advisory_xact_lock_shared(mac_key(_sub_mac));"
    "  PERFORM pg_advisory_xact_lock_shared(mac_key(everyone()));"
    "  IF EXISTS (SELECT FROM tomb WHERE id IN (_sid_mac, _sub_mac, everyone())"
    "   AND (begun_until_ms >= _begun_ms OR issued_until_s >= _issued_s)) THEN RETURN 2; END IF;"
    "  INSERT INTO session (id, sid_mac, sub_mac, version, created_s, seen_s, expires_s, begun_ms, issued_s, need, label, secret)"
    "   VALUES (_id, _sid_mac, _sub_mac, _version, _created_s, _seen_s, _expires_s, _begun_ms, _issued_s, _need, _label, _secret)"
    "   ON CONFLICT (id) DO NOTHING;"
    "  IF NOT FOUND THEN RETURN 3; END IF;"
    "  RETURN 0; END $$;"

    "CREATE FUNCTION session_need(_id bytea, _need bigint) RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN"
    "  UPDATE session SET need = _need WHERE id = _id;"
    "  IF NOT FOUND THEN RETURN 1; END IF;"
    "  PERFORM tell('c', _id);"
    "  RETURN 0; END $$;"

    /* The database's clock counts the lease, so that a replica whose clock is ahead does not take it for lapsed. */
    "CREATE FUNCTION session_lease(_id bytea, _version bigint, _seconds bigint, _is_granting bigint) RETURNS bigint"
    " LANGUAGE plpgsql AS $$ DECLARE r record; BEGIN"
    "  SELECT version, lease_until, lease_is_granting INTO r FROM session WHERE id = _id FOR UPDATE;"
    "  IF NOT FOUND THEN RETURN 1; END IF;"
    "  IF r.version <> _version THEN RETURN 5; END IF;"
    "  IF r.lease_until > clock_timestamp() THEN RETURN 4; END IF;"
    "  IF r.lease_until IS NOT NULL AND r.lease_is_granting THEN"
    "   DELETE FROM session WHERE id = _id;"
    "   PERFORM tell('e', _id);"
    "   RETURN 6;"
    "  END IF;"
    "  UPDATE session SET lease_until = clock_timestamp() + _seconds * interval '1 second', lease_is_granting = _is_granting <> 0,"
    "   lease_by = current_setting('repogate.teller') WHERE id = _id;"
    "  RETURN 0; END $$;"

    "CREATE FUNCTION session_replace(_id bytea, _version bigint, _label bytea, _secret bytea) RETURNS bigint"
    " LANGUAGE plpgsql AS $$ DECLARE r record; BEGIN"
    "  SELECT sid_mac, sub_mac, issued_s INTO r FROM session WHERE id = _id AND version = _version;"
    "  IF NOT FOUND THEN RETURN 1; END IF;"
    "  PERFORM pg_advisory_xact_lock_shared(mac_key(r.sid_mac));"
    "  PERFORM pg_advisory_xact_lock_shared(mac_key(r.sub_mac));"
    "  IF EXISTS (SELECT FROM tomb WHERE id IN (r.sid_mac, r.sub_mac) AND issued_until_s >= r.issued_s) THEN"
    "   DELETE FROM session WHERE id = _id AND version = _version;"
    "   IF NOT FOUND THEN RETURN 1; END IF;"
    "   PERFORM tell('e', _id);"
    "   RETURN 2;"
    "  END IF;"
    "  UPDATE session SET version = version + 1, label = _label, secret = _secret, lease_until = NULL, lease_is_granting = false,"
    "   lease_by = NULL WHERE id = _id AND version = _version;"
    "  IF NOT FOUND THEN RETURN 1; END IF;"
    "  PERFORM tell('c', _id);"
    "  RETURN 0; END $$;"

    /* The one for everyone comes last, here and in session_put(): nobody who holds its lock waits for another. */
    "CREATE FUNCTION bury(_mac bytea, _issued_until_s bigint, _begun_until_ms bigint, _expires_s bigint) RETURNS void"
    " LANGUAGE plpgsql AS $$ BEGIN"
    "  PERFORM pg_advisory_xact_lock(mac_key(_mac));"
    "  UPDATE tomb SET issued_until_s = greatest(issued_until_s, _issued_until_s),"
    "   begun_until_ms = greatest(begun_until_ms, _begun_until_ms), expires_s = greatest(expires_s, _expires_s) WHERE id = _mac;"
    "  IF FOUND THEN RETURN; END IF;"
    "  BEGIN"
    "   INSERT INTO tomb VALUES (_mac, _issued_until_s, _begun_until_ms, _expires_s);"
    "  EXCEPTION WHEN configuration_limit_exceeded THEN"
    "   PERFORM pg_advisory_xact_lock(mac_key(everyone()));"
    "   UPDATE tomb SET begun_until_ms = greatest(begun_until_ms, _begun_until_ms) WHERE id = everyone();"
    "  END; END $$;"

    "CREATE FUNCTION session_end(_id bytea, _now_ms bigint, _tomb_s bigint) RETURNS bigint"
    " LANGUAGE plpgsql AS $$ DECLARE r record; BEGIN"
    "  SET LOCAL synchronous_commit TO DEFAULT;"
    "  SELECT sid_mac, sub_mac INTO r FROM session WHERE id = _id;"
    "  IF NOT FOUND THEN RETURN 1; END IF;"
    "  IF _tomb_s > 0 THEN"
    "   PERFORM bury(CASE WHEN r.sid_mac = everyone() THEN r.sub_mac ELSE r.sid_mac END, -9223372036854775808, _now_ms, _tomb_s);"
    "  END IF;"
    "  DELETE FROM session WHERE id = _id;"
    "  IF FOUND THEN PERFORM tell('e', _id); END IF;"
    "  RETURN 0; END $$;"

    /* Both places are locked first, in their order. */
    "CREATE FUNCTION mark_revocation(_once bytea, _once_name bytea, _until_s bigint) RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN"
    "  PERFORM FROM held WHERE kind = 'attempt' AND slot IN (get_byte(_once, 0) & 15, get_byte(_once_name, 0) & 15)"
    "   ORDER BY slot FOR UPDATE;"
    "  INSERT INTO attempt VALUES (_once, _until_s) ON CONFLICT (id) DO NOTHING;"
    "  IF NOT FOUND THEN RETURN 2; END IF;"
    "  INSERT INTO attempt VALUES (_once_name, _until_s) ON CONFLICT (id) DO NOTHING;"
    "  IF FOUND THEN RETURN 0; END IF;"
    "  DELETE FROM attempt WHERE id = _once;"
    "  RETURN 3; END $$;"

    /* First what came of it, then whom it ended. In order of id, lest two that share rows wait for each other. */
    "CREATE FUNCTION session_revoke(_by_sub bigint, _mac bytea, _issued_until_s bigint, _begun_until_ms bigint, _tomb_s bigint,"
    " _n_told_max bigint, _once bytea, _once_name bytea, _once_until_s bigint, _tomb_issued_until_s bigint)"
    " RETURNS TABLE (answer bigint, ended bytea)"
    " LANGUAGE plpgsql AS $$ DECLARE ids bytea[]; BEGIN"
    "  SET LOCAL synchronous_commit TO DEFAULT;"
    "  answer := 0;"
    "  IF _once IS NOT NULL THEN answer := mark_revocation(_once, _once_name, _once_until_s); END IF;"
    "  RETURN NEXT;"
    "  IF answer <> 0 THEN RETURN; END IF;"
    "  PERFORM bury(_mac, _tomb_issued_until_s, _begun_until_ms, _tomb_s);"
    "  IF _by_sub <> 0 THEN"
    "   ids := ARRAY(SELECT id FROM session WHERE sub_mac = _mac AND issued_s <= _issued_until_s ORDER BY id FOR UPDATE);"
    "  ELSE"
    "   ids := ARRAY(SELECT id FROM session WHERE sid_mac = _mac AND issued_s <= _issued_until_s ORDER BY id FOR UPDATE);"
    "  END IF;"
    "  DELETE FROM session WHERE id = ANY (ids);"
    "  PERFORM tell('e', id) FROM unnest(ids[:_n_told_max]) AS id;"
    "  IF cardinality(ids) > _n_told_max THEN PERFORM tell('u', everyone()); END IF;"
    "  RETURN QUERY SELECT 0::bigint, unnest(ids[:_n_told_max + 1]); END $$;"

    "CREATE FUNCTION use_once(_id bytea, _expires_s bigint) RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN"
    "  SET LOCAL synchronous_commit TO DEFAULT;"
    "  INSERT INTO attempt VALUES (_id, _expires_s) ON CONFLICT (id) DO NOTHING;"
    "  IF NOT FOUND THEN RETURN 3; END IF;"
    "  RETURN 0; END $$;",
};

enum { PGSCHEMA_VERSION = sizeof(PGSCHEMA_STEPS) / sizeof(PGSCHEMA_STEPS[0]) };
