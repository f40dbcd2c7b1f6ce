#include "pages/text.h"

static const char *const english[TEXT_COUNT] = {
#define X(id, words) [id] = words,
    TEXT_TABLE(X)
#undef X
};

const char *text_of(enum text_id id)
{
    return english[id];
}
