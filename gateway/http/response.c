#include "http/response.h"

void response_reset(struct response *r)
{
    r->status = 0;
    r->n_headers = 0;
    r->body = VIEW_NONE;
    r->failed = false;
}

void response_add(struct response *r, struct view name, struct view value)
{
    if (r->n_headers == RESPONSE_HEADERS_MAX || !header_value_is_clean(value)) {
        r->failed = true;
        return;
    }
    r->headers[r->n_headers++] = (struct header){name, value};
}
