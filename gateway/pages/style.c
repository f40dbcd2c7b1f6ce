/* The stylesheet is a file of its own, taken in by the assembler. */
#include "pages/page.h"

__asm__(".pushsection .rodata\n"
        ".global page_style_begin\n"
        "page_style_begin:\n"
        ".incbin \"gateway/pages/style.css\"\n"
        ".global page_style_end\n"
        "page_style_end:\n"
        ".popsection\n");

extern const char page_style_begin[], page_style_end[];

struct view page_style(void)
{
    return view_at(page_style_begin, (size_t)(page_style_end - page_style_begin));
}
