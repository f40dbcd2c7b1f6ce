#include "store/sessionrow.h"

#include "util/cleanup.h"
#include "util/pack.h"
#include "util/secret.h"

static const struct view PURPOSE_SECRET = {"session secret", 14};
static const struct view PURPOSE_LABEL = {"session label", 13};
static const struct view PURPOSE_SID = {"session sid", 11};
static const struct view PURPOSE_SUB = {"session sub", 11};

static void buf_wipe(struct buf *b)
{
    if (b->p != NULL)
        secret_wipe(b->p, b->size);
    buf_deinit(b);
}

void sessionrow_secret_deinit(struct sessionrow_secret *secret)
{
    buf_wipe(&secret->block);
}

enum gw_err sessionrow_id(struct view cookie, uint8_t ret_id[DIGEST_BYTES])
{
    return digest_sha256(cookie, ret_id);
}

/* ---- sealing ---- */

static struct view purpose_of(enum session_by by)
{
    return by == SESSION_BY_SID ? PURPOSE_SID : PURPOSE_SUB;
}

/* Lengths first, so that no two pairs give the same bytes. */
static void put_pair(struct buf *out, struct view iss, struct view name)
{
    buf_put_u64(out, iss.n);
    buf_put_byte(out, ':');
    buf_put(out, iss);
    buf_put(out, name);
}

enum gw_err sessionrow_mac(const struct seal_ring *ring, size_t i, enum session_by by, struct view iss, struct view name,
                           uint8_t out[DIGEST_BYTES])
{
    GW_CLEANUP(buf_deinit) struct buf pair = BUF(SESSION_SECRET_MAX);
    put_pair(&pair, iss, name);
    return buf_ok(&pair) ? seal_mac(ring, i, purpose_of(by), buf_view(&pair), out) : GW_E_LIMIT;
}

enum gw_err sessionrow_mac_all(const struct seal_ring *ring, enum session_by by, struct view iss, struct view name,
                               uint8_t out[SEAL_KEYS_MAX][DIGEST_BYTES], size_t *ret_n)
{
    GW_CLEANUP(buf_deinit) struct buf pair = BUF(SESSION_SECRET_MAX);
    put_pair(&pair, iss, name);
    return buf_ok(&pair) ? seal_mac_all(ring, purpose_of(by), buf_view(&pair), out, ret_n) : GW_E_LIMIT;
}

static void put_member(struct buf *b, const char *key, struct view value)
{
    buf_printf(b, ",\"%s\":", key);
    buf_put_json(b, value);
}

static enum gw_err seal_text(const struct seal_ring *ring, struct view purpose, struct view context, const struct buf *text,
                             struct buf *out)
{
    if (!buf_ok(text))
        return GW_E_LIMIT;
    return seal_put(ring, purpose, context, buf_view(text), out);
}

/* Claims travel as a string: what the codec gets back is what it was asked about, byte for byte. */
static enum gw_err seal_secret(const struct seal_ring *ring, const struct sessionrow_secret *secret, struct view cookie,
                               struct store_row *row)
{
    GW_CLEANUP(buf_wipe) struct buf text = BUF(SESSION_SECRET_MAX);
    /* Room for the usual escapes, lest growing leave copies behind. */
    size_t guess = 256 + secret->claims_json.n * 2 + secret->id_token.n + secret->access_token.n + secret->refresh_token.n;
    if (guess <= SESSION_SECRET_MAX && buf_reserve(&text, guess) == NULL)
        return GW_E_NOMEM;
    buf_printf(&text, "{\"v\":2,\"created_s\":%lld,\"expires_s\":%lld,\"access_expires_s\":%lld,\"fresh_s\":%lld",
               (long long)row->created_s, (long long)row->expires_s, (long long)secret->access_expires_s,
               (long long)secret->fresh_s);
    put_member(&text, "claims", secret->claims_json);
    put_member(&text, "id_token", secret->id_token);
    put_member(&text, "access_token", secret->access_token);
    put_member(&text, "refresh_token", secret->refresh_token);
    buf_put_byte(&text, '}');
    return seal_text(ring, PURPOSE_SECRET, cookie, &text, &row->secret);
}

static enum gw_err seal_label(const struct seal_ring *ring, struct view username, struct view ip, struct store_row *row)
{
    GW_CLEANUP(buf_wipe) struct buf text = BUF(SESSION_LABEL_MAX);
    buf_puts(&text, "{\"v\":1");
    put_member(&text, "username", username);
    put_member(&text, "ip", ip);
    buf_put_byte(&text, '}');
    return seal_text(ring, PURPOSE_LABEL, VIEW_NONE, &text, &row->label);
}

static enum gw_err fill_row(const struct seal_ring *ring, const struct session_new_spec *spec, struct view cookie,
                            struct store_row *row)
{
    enum gw_err err = sessionrow_id(cookie, row->id);
    if (err == GW_OK && spec->sid.n > 0)
        err = sessionrow_mac(ring, 0, SESSION_BY_SID, spec->iss, spec->sid, row->sid_mac);
    if (err == GW_OK)
        err = sessionrow_mac(ring, 0, SESSION_BY_SUB, spec->iss, spec->sub, row->sub_mac);
    if (err == GW_OK)
        err = seal_label(ring, spec->username, spec->ip, row);
    if (err == GW_OK)
        err = seal_secret(ring,
                          &(struct sessionrow_secret){
                              .claims_json = spec->claims_json,
                              .id_token = spec->id_token,
                              .access_token = spec->access_token,
                              .refresh_token = spec->refresh_token,
                              .access_expires_s = spec->access_expires_s,
                              .fresh_s = row->created_s,
                          },
                          cookie, row);
    return err;
}

enum gw_err sessionrow_seal(const struct seal_ring *ring, const struct session_new_spec *spec, struct view cookie,
                            int64_t created_s, int64_t expires_s, struct store_row *ret_row)
{
    struct store_row row = {.version = 1,
                            .created_s = created_s,
                            .seen_s = created_s,
                            .expires_s = expires_s,
                            .begun_ms = spec->begun_ms,
                            .issued_s = spec->issued_s,
                            .need = spec->need,
                            .label = BUF(STORE_SEALED_MAX),
                            .secret = BUF(STORE_SEALED_MAX)};
    enum gw_err err = fill_row(ring, spec, cookie, &row);
    if (err != GW_OK) {
        store_row_deinit(&row);
        return err;
    }
    *ret_row = row;
    return GW_OK;
}

enum gw_err sessionrow_reseal(const struct seal_ring *ring, const struct sessionrow_secret *secret, struct view username,
                              struct view cookie, struct store_row *row)
{
    struct sessionrow_label old = {.ip = VIEW_NONE};
    struct store_row fresh = *row;
    fresh.label = fresh.secret = BUF(STORE_SEALED_MAX);
    /* One that does not open is no reason to end a session: it is for the eyes of the admin. */
    enum gw_err err = sessionrow_open_label(ring, row, &old);
    if (err == GW_E_NOMEM)
        return err;
    err = seal_label(ring, username.n > 0 ? username : old.username, old.ip, &fresh);
    sessionrow_label_deinit(&old);
    if (err == GW_OK)
        err = seal_secret(ring, secret, cookie, &fresh);
    if (err != GW_OK) {
        store_row_deinit(&fresh);
        return err;
    }
    store_row_deinit(row);
    *row = fresh;
    return GW_OK;
}

/* ---- opening ---- */

static bool find_string(struct pack_val map, struct view key, struct view *ret_text)
{
    struct pack_val v = pack_find(map, key);
    *ret_text = pack_string(v);
    return pack_type(v) == PACK_STRING;
}

static bool find_int(struct pack_val map, struct view key, int64_t *ret_n)
{
    struct pack_val v = pack_find(map, key);
    *ret_n = pack_int(v);
    return pack_type(v) == PACK_INT;
}

static enum gw_err read_secret(const struct store_row *row, struct sessionrow_secret *secret)
{
    int64_t version, created_s, expires_s;
    struct pack_val map = pack_root(secret->block.p);
    if (pack_type(map) != PACK_MAP || !find_int(map, VIEW("v"), &version) || (version != 1 && version != 2) ||
        !find_int(map, VIEW("created_s"), &created_s) || !find_int(map, VIEW("expires_s"), &expires_s) ||
        !find_int(map, VIEW("access_expires_s"), &secret->access_expires_s) ||
        !find_string(map, VIEW("claims"), &secret->claims_json) || !find_string(map, VIEW("id_token"), &secret->id_token) ||
        !find_string(map, VIEW("access_token"), &secret->access_token) ||
        !find_string(map, VIEW("refresh_token"), &secret->refresh_token))
        return GW_E_INVALID;
    /* Version 1 knew the claims of the login only. */
    secret->fresh_s = created_s;
    if (version == 2 && !find_int(map, VIEW("fresh_s"), &secret->fresh_s))
        return GW_E_INVALID;
    return created_s == row->created_s && expires_s == row->expires_s ? GW_OK : GW_E_INVALID;
}

enum gw_err sessionrow_open(const struct seal_ring *ring, const struct store_row *row, struct view cookie,
                            struct sessionrow_secret *ret_secret)
{
    GW_CLEANUP(buf_wipe) struct buf text = BUF(SESSION_SECRET_MAX);
    struct sessionrow_secret secret = {.block = BUF(PACK_BYTES_MAX)};
    enum gw_err err = seal_open(ring, PURPOSE_SECRET, cookie, buf_view(&row->secret), &text);
    if (err == GW_OK)
        err = pack_parse(buf_view(&text), &secret.block);
    if (err == GW_OK)
        err = read_secret(row, &secret);
    if (err != GW_OK) {
        sessionrow_secret_deinit(&secret);
        return err;
    }
    *ret_secret = secret;
    return GW_OK;
}

/* ---- labels ---- */

void sessionrow_label_deinit(struct sessionrow_label *label)
{
    buf_wipe(&label->block);
}

enum gw_err sessionrow_open_label(const struct seal_ring *ring, const struct store_row *row, struct sessionrow_label *ret_label)
{
    GW_CLEANUP(buf_wipe) struct buf text = BUF(SESSION_LABEL_MAX);
    struct sessionrow_label label = {.block = BUF(PACK_BYTES_MAX)};
    enum gw_err err = seal_open(ring, PURPOSE_LABEL, VIEW_NONE, buf_view(&row->label), &text);
    if (err == GW_OK)
        err = pack_parse(buf_view(&text), &label.block);
    if (err == GW_OK) {
        struct pack_val map = pack_root(label.block.p);
        if (pack_type(map) != PACK_MAP || !find_string(map, VIEW("username"), &label.username) ||
            !find_string(map, VIEW("ip"), &label.ip))
            err = GW_E_INVALID;
    }
    if (err != GW_OK) {
        sessionrow_label_deinit(&label);
        return err;
    }
    *ret_label = label;
    return GW_OK;
}
