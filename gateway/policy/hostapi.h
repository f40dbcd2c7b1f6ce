/* hostapi: what a rule sees: the user `u`, the repository `r`, the request `q`, bags and lists (POLICY 3).
 *
 * Strict: an unknown field, a method called with a dot, an absent value without a default are errors with a suggestion; nothing
 * is ever nil, nothing can be written. The objects are made once per state and look at the decision under way, so that a decision
 * allocates nothing; outside of one they answer with errors.
 * Errors: raise Lua errors, so call protected. Owns: borrows the input from host_begin to host_end.
 * Threads: as the state. */
#pragma once

#include "policy/input.h"
#include "policy/object.h"
#include "policy/sandbox.h"

enum { HOST_LISTS = 16 };

/* What every bag answers for any key while rules are tried on made-up subjects. */
enum host_smoke { HOST_REAL, HOST_SMOKE_ABSENT, HOST_SMOKE_STRING, HOST_SMOKE_LIST };

struct host_list {
    struct object object;
    struct pack_val val; /* a list of strings, one string (a list of one), or absent (an empty list) */
};

struct host {
    struct sandbox *sandbox;
    const struct policy_input *in; /* NULL outside of a decision */
    bool needs_visibility;         /* it was read though it is not yet known */
    enum host_smoke smoke;
    struct buf smoke_values;
    struct pack_val smoke_string, smoke_list;
    struct host_list *groups;
    struct host_list *lists[HOST_LISTS]; /* handed out afresh in each decision */
    int list_refs[HOST_LISTS];
    int n_lists;
    void *registrar; /* takes the rules while files are loaded, else NULL */
};

/* h must not move afterwards; frees with host_deinit(). Call protected, with sandbox->owner set to h. */
void host_open(lua_State *L, struct host *h);
void host_deinit(struct host *h);
/* Pushes u, r, q. */
void host_push_objects(lua_State *L);

void host_begin(struct host *h, const struct policy_input *in);
void host_end(struct host *h);

static inline struct host *host_of(lua_State *L)
{
    return sandbox_of(L)->owner;
}

/* The decision under way, or an error. */
const struct policy_input *host_input(lua_State *L);
/* The object at 1, or the error that a method called with a dot deserves. */
void *host_self(lua_State *L, enum object_kind kind, const char *label, const char *method);

/* What a kind of object offers: methods as functions, fields as numbers for get(), which pushes the value. */
struct host_class {
    enum object_kind kind;
    const char *label;
    const char *const *fields;
    int (*get)(lua_State *L, const struct policy_input *in, int field);
    const struct host_method {
        const char *name;
        lua_CFunction fn;
    } * methods;
};

/* Registers the class and pushes its table of methods, in which constant values may be put. */
void host_class_open(lua_State *L, const struct host_class *c);
/* Pushes a new object of the class, zeroed, with room for one value of Lua's. */
void *host_object_new(lua_State *L, const struct host_class *c, size_t size);
