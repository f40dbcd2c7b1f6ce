#include "store/pending.h"

#include "util/b64url.h"
#include "util/cleanup.h"
#include "util/rnd.h"
#include "util/secret.h"

static const struct view PURPOSE = {"login attempt", 13};

enum {
    FORMAT = 2,
    FIXED_BYTES = 1 + 8 + 8 + PENDING_STATE_LEN + PENDING_RANDOM_LEN + PENDING_RANDOM_LEN,
    PLAIN_MAX = FIXED_BYTES + PENDING_RD_MAX,
    SEALED_MAX = PLAIN_MAX + SEAL_OVERHEAD_BYTES,
};

_Static_assert((SEALED_MAX + 2) / 3 * 4 < 3072, "browsers keep cookies up to 4 KiB, name included");

/* ---- values ---- */

static enum gw_err random_text(char *out, size_t n_bytes, size_t len)
{
    uint8_t bytes[DIGEST_BYTES];
    GW_CLEANUP(buf_deinit) struct buf text = BUF(PENDING_RANDOM_LEN);
    enum gw_err err = rnd_bytes(bytes, n_bytes);
    if (err != GW_OK)
        return err;
    b64url_encode(&text, bytes, n_bytes);
    secret_wipe(bytes, sizeof(bytes));
    if (!buf_ok(&text) || text.n != len)
        return GW_E_NOMEM;
    memcpy(out, text.p, len);
    out[len] = '\0';
    secret_wipe(text.p, text.n);
    return GW_OK;
}

static bool is_rd(struct view rd)
{
    for (size_t i = 0; i < rd.n; i++)
        if ((unsigned char)rd.p[i] < 0x20 || rd.p[i] == 0x7f)
            return false;
    return rd.n > 0 && rd.n <= PENDING_RD_MAX;
}

static enum gw_err set_id(struct pending *p)
{
    return digest_sha256(view_at(p->state, PENDING_STATE_LEN), p->id);
}

enum gw_err pending_new(struct view rd, int64_t now_ms, struct pending *ret_pending)
{
    struct pending p = {.created_ms = now_ms};
    if (!is_rd(rd))
        rd = VIEW("/");
    memcpy(p.rd, rd.p, rd.n);
    enum gw_err err = random_text(p.state, 16, PENDING_ATTEMPT_LEN);
    if (err == GW_OK)
        err = random_text(p.state + PENDING_ATTEMPT_LEN, 32, PENDING_RANDOM_LEN);
    if (err == GW_OK)
        err = random_text(p.nonce, 32, PENDING_RANDOM_LEN);
    if (err == GW_OK)
        err = random_text(p.verifier, 32, PENDING_RANDOM_LEN);
    if (err == GW_OK)
        err = set_id(&p);
    if (err == GW_OK)
        *ret_pending = p;
    return err;
}

bool pending_has_state(const struct pending *p, struct view state)
{
    return secret_eq(view_at(p->state, PENDING_STATE_LEN), state);
}

enum gw_err pending_challenge(struct view verifier, char out[PENDING_RANDOM_LEN + 1])
{
    uint8_t digest[DIGEST_BYTES];
    GW_CLEANUP(buf_deinit) struct buf text = BUF(PENDING_RANDOM_LEN);
    enum gw_err err = digest_sha256(verifier, digest);
    if (err != GW_OK)
        return err;
    b64url_encode(&text, digest, sizeof(digest));
    if (!buf_ok(&text))
        return GW_E_NOMEM;
    memcpy(out, text.p, PENDING_RANDOM_LEN);
    out[PENDING_RANDOM_LEN] = '\0';
    return GW_OK;
}

/* ---- the cookie ---- */

enum gw_err pending_cookie_name(struct buf *out, struct view prefix, struct view state)
{
    uint8_t bytes[16];
    size_t n;
    struct view attempt = view_at(state.p, PENDING_ATTEMPT_LEN);
    if (state.n != PENDING_STATE_LEN || b64url_decode(attempt, bytes, sizeof(bytes), &n) != GW_OK)
        return GW_E_INVALID;
    buf_put(out, prefix);
    buf_put(out, attempt);
    return buf_ok(out) ? GW_OK : GW_E_LIMIT;
}

static void put_int(struct buf *out, int64_t n)
{
    for (int shift = 56; shift >= 0; shift -= 8)
        buf_put_byte(out, (char)((uint64_t)n >> shift));
}

enum gw_err pending_seal(const struct seal_ring *ring, const struct pending *p, struct buf *out)
{
    GW_CLEANUP(buf_deinit) struct buf plain = BUF(PLAIN_MAX);
    GW_CLEANUP(buf_deinit) struct buf sealed = BUF(SEALED_MAX);
    if (buf_reserve(&plain, PLAIN_MAX) == NULL)
        return GW_E_NOMEM;
    buf_put_byte(&plain, FORMAT);
    put_int(&plain, p->created_ms);
    put_int(&plain, p->need);
    buf_put(&plain, view_at(p->state, PENDING_STATE_LEN));
    buf_put(&plain, view_at(p->nonce, PENDING_RANDOM_LEN));
    buf_put(&plain, view_at(p->verifier, PENDING_RANDOM_LEN));
    buf_put(&plain, view_of(p->rd));
    enum gw_err err = buf_ok(&plain) ? seal_put(ring, PURPOSE, VIEW_NONE, buf_view(&plain), &sealed) : GW_E_LIMIT;
    secret_wipe(plain.p, plain.size);
    if (err != GW_OK)
        return err;
    b64url_encode(out, sealed.p, sealed.n);
    return buf_ok(out) ? GW_OK : GW_E_LIMIT;
}

static void take(struct view *rest, char *out, size_t n)
{
    memcpy(out, rest->p, n);
    *rest = view_skip(*rest, n);
}

static int64_t take_int(struct view *rest)
{
    uint64_t n = 0;
    for (size_t i = 0; i < 8; i++)
        n = n << 8 | (uint8_t)rest->p[i];
    *rest = view_skip(*rest, 8);
    return (int64_t)n;
}

static enum gw_err read_plain(struct view rest, struct pending *p)
{
    if (rest.n < FIXED_BYTES || rest.n > PLAIN_MAX || rest.p[0] != FORMAT)
        return GW_E_INVALID;
    rest = view_skip(rest, 1);
    p->created_ms = take_int(&rest);
    p->need = take_int(&rest);
    take(&rest, p->state, PENDING_STATE_LEN);
    take(&rest, p->nonce, PENDING_RANDOM_LEN);
    take(&rest, p->verifier, PENDING_RANDOM_LEN);
    if (!is_rd(rest))
        return GW_E_INVALID;
    take(&rest, p->rd, rest.n);
    return set_id(p);
}

enum gw_err pending_open(const struct seal_ring *ring, struct view cookie_value, int64_t now_s, struct pending *ret_pending)
{
    uint8_t sealed[SEALED_MAX];
    size_t n_sealed;
    GW_CLEANUP(buf_deinit) struct buf plain = BUF(PLAIN_MAX);
    struct pending p = {.created_ms = 0};
    if (b64url_decode(cookie_value, sealed, sizeof(sealed), &n_sealed) != GW_OK)
        return GW_E_INVALID;
    enum gw_err err = seal_open(ring, PURPOSE, VIEW_NONE, view_at((const char *)sealed, n_sealed), &plain);
    if (err == GW_OK)
        err = read_plain(buf_view(&plain), &p);
    if (plain.p != NULL)
        secret_wipe(plain.p, plain.size);
    if (err != GW_OK)
        return err;
    int64_t created_s = p.created_ms / 1000;
    if (now_s >= created_s + PENDING_LIFE_S || now_s < created_s - PENDING_SKEW_S)
        return GW_E_EXPIRED;
    *ret_pending = p;
    return GW_OK;
}

/* ---- how many a browser may have ---- */

struct kept {
    size_t place, n_bytes;
    int64_t created_ms;
};

static size_t oldest(const struct kept *kept, size_t n)
{
    size_t at = 0;
    for (size_t i = 1; i < n; i++)
        if (kept[i].created_ms < kept[at].created_ms)
            at = i;
    return at;
}

size_t pending_find_drops(const struct seal_ring *ring, struct view prefix, const struct pending_cookie *cookies,
                          size_t n_cookies, size_t new_bytes, int64_t now_s, size_t ret_drops[PENDING_DROPS_MAX])
{
    struct kept kept[PENDING_PER_BROWSER];
    size_t n_kept = 0, n_bytes = new_bytes, n_drops = 0;
    for (size_t i = 0; i < n_cookies && n_drops < PENDING_DROPS_MAX; i++) {
        struct pending p;
        if (!view_starts(cookies[i].name, prefix))
            continue;
        if (pending_open(ring, cookies[i].value, now_s, &p) != GW_OK) {
            ret_drops[n_drops++] = i;
            continue;
        }
        kept[n_kept] = (struct kept){i, cookies[i].name.n + cookies[i].value.n, p.created_ms};
        n_bytes += kept[n_kept++].n_bytes;
        while (n_drops < PENDING_DROPS_MAX && n_kept > 0 && (n_kept == PENDING_PER_BROWSER || n_bytes > PENDING_COOKIES_BYTES)) {
            size_t at = oldest(kept, n_kept);
            ret_drops[n_drops++] = kept[at].place;
            n_bytes -= kept[at].n_bytes;
            kept[at] = kept[--n_kept];
        }
    }
    return n_drops;
}

/* ---- taken once ---- */

struct use {
    struct store *store;
    uint8_t id[DIGEST_BYTES];
    int64_t expires_s;
    enum gw_err err;
    pending_fn fn;
    void *arg;
};

static void use_run(void *arg)
{
    struct use *u = arg;
    u->err = store_use_once(u->store, u->id, u->expires_s);
}

static void use_done(void *arg)
{
    struct use *u = arg;
    u->fn(u->arg, u->err);
    free(u);
}

enum gw_err pending_use(struct store *store, struct jobs *jobs, struct loop *l, const struct pending *p, pending_fn fn, void *arg)
{
    GW_CLEANUP(gw_freep) struct use *u = calloc(1, sizeof(*u));
    if (u == NULL)
        return GW_E_NOMEM;
    *u = (struct use){.store = store, .expires_s = p->created_ms / 1000 + PENDING_LIFE_S, .fn = fn, .arg = arg};
    memcpy(u->id, p->id, DIGEST_BYTES);
    enum gw_err err = jobs_submit(jobs, l, use_run, use_done, u);
    if (err == GW_OK)
        GW_TAKE(u);
    return err;
}
