/* The moves of fusion by name. What each does stands where it is made: fuse.c, and the driver for what
 * is a pass of its own. */
#include "passes/passes.h"

static const char *const names[] = {
#define MOVE(name, text) #name,
#include "passes/moves.def"
#undef MOVE
};

const char *move_name(MoveId move)
{
    return names[move];
}

bool moves_read(Str text, Moves *moves, Str *wrong)
{
    *moves = 0;
    for (size_t at = 0; at < text.len;) {
        size_t end = at;
        while (end < text.len && text.ptr[end] != ',') {
            end++;
        }
        Str name = {text.ptr + at, end - at};
        Moves before = *moves;
        for (size_t i = 0; i < MOVE_COUNT; i++) {
            *moves |= str_is(name, names[i]) ? (Moves)1 << i : 0;
        }
        if (*moves == before) {                      /* unknown, or named twice */
            *wrong = name;
            return false;
        }
        at = end + 1;
    }
    return true;
}
