/* Input: JSON, or nearly. Both parsers take it and pack the same bytes, or both refuse; only the named limits may differ. */
#include "util/packtext.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf ours = BUF(PACK_BYTES_MAX), theirs = BUF(PACK_BYTES_MAX), again = BUF(2 * PACK_BYTES_MAX);
    struct view json = view_at((const char *)data, size);
    enum gw_err a = packtext_parse(json, &ours), b = pack_parse(json, &theirs);
    if (a != b && a != GW_E_LIMIT)
        abort();
    if (!view_eq(buf_view(&ours), buf_view(&theirs)) && a == GW_OK)
        abort();
    if (a == GW_OK) {
        if (pack_size(pack_root(ours.p)) != ours.n)
            abort();
        pack_format_json(pack_root(ours.p), &again);
    }
    buf_deinit(&ours);
    buf_deinit(&theirs);
    buf_deinit(&again);
    return 0;
}
