/* secretfile: secrets that live in files, read anew when the files change.
 *
 * Shape: a set of files, each with the text in it now, and for what is made of the text (a key ring) a function that takes it.
 * Files are compared by what they hold, not by their times: an edit, a rename over the old file, a mount that was exchanged
 * and Kubernetes' swap of its `..data` link are all the same, and restored times hide nothing.
 * A file that cannot be read any more, or holds what is not taken, changes nothing: the old value stays in force. The log says
 * so once for each such state, METER_SECRETS_REJECTED counts it.
 * Errors: as secret_load(), or what `take` returns.
 * Owns: the set owns its files; texts are counted and wiped with their last reference.
 * Threads: any; what `take` changes must bear that others use it meanwhile. The checks block: job pool or main thread. */
#pragma once

#include "util/jobs.h"
#include "util/view.h"

enum { SECRETFILES_MAX = 16, SECRETFILES_CHECK_MS = 5000 };

struct secretfiles;
struct secretfile;
struct secrettext;

enum gw_err secretfiles_new(struct secretfiles **ret_set) GW_MUST_CHECK;
/* When no job and no loop knows it any more. */
void secretfiles_free(struct secretfiles *set);

/* Judges the text and puts it to use; an error leaves the old one in use. One call at a time. */
typedef enum gw_err (*secretfile_take_fn)(void *arg, struct view text);
/* Reads it the first time. key: its name in the configuration, a constant. take: NULL = any text will do. ret_file: borrowed
 * from the set; NULL = not wanted. GW_E_LIMIT also when there are SECRETFILES_MAX. Before the set is watched. */
enum gw_err secretfiles_add(struct secretfiles *set, const char *key, const char *path, secretfile_take_fn take, void *arg,
                            struct secretfile **ret_file) GW_MUST_CHECK;
/* Reads them all; blocks. */
void secretfiles_check(struct secretfiles *set);
/* From now on that every SECRETFILES_CHECK_MS, timed by l, on the pool. Once; from any thread. */
enum gw_err secretfiles_watch(struct secretfiles *set, struct loop *l, struct jobs *j) GW_MUST_CHECK;

/* The text now: a counted reference. */
struct secrettext *secretfile_get(struct secretfile *f);
/* Another number than before: the text may have changed. For those who keep a reference. */
uint32_t secretfile_generation(const struct secretfile *f);
/* In constant time. */
bool secretfile_is(struct secretfile *f, struct view candidate);

struct view secrettext_view(const struct secrettext *t);
void secrettext_unref(struct secrettext *t); /* NULL is fine */

static inline void secrettext_unrefp(struct secrettext **pp)
{
    secrettext_unref(*pp);
}
