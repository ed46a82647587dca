/* Patterns over keys (language.md 3.7): `*` within a segment, `#` an integer segment, `**` any
 * number of segments, `{a,b}` alternatives. A pattern selects a node of the module tree and all
 * below it. Here: what is a pattern, matching, renaming, and what to say when nothing matches.
 *
 * Matching simulates the pattern as a nondeterministic automaton whose states are its bytes, all
 * states at once (time is pattern length times key length, whatever the pattern), each with the
 * places where its wildcards began and ended. Which patterns a clause holds is not known here. */
#include <assert.h>
#include <string.h>

#include "model/model.h"

enum { MAX_PATTERN = 255, MAX_WILDCARDS = 8 };

/* --- what is a pattern -------------------------------------------------------------------------
 */
static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_double_star(Str p, size_t at)
{
    return at + 1 < p.len && p.ptr[at] == '*' && p.ptr[at + 1] == '*';
}

static size_t wildcard_length(Str p, size_t at)
{
    if (is_double_star(p, at)) {
        return 2;
    }
    return at < p.len && (p.ptr[at] == '*' || p.ptr[at] == '#') ? 1 : 0;
}

static size_t wildcard_count(Str p)
{
    size_t n = 0;
    for (size_t i = 0; i < p.len;) {
        size_t length = wildcard_length(p, i);
        n += length > 0;
        i += length > 0 ? length : 1;
    }
    return n;
}

static bool whole_segment(Str p, size_t at, size_t length)
{
    bool starts = at == 0 || p.ptr[at - 1] == '.';
    return starts && (at + length == p.len || p.ptr[at + length] == '.');
}

static bool refuse(Str *why, const char *text)
{
    *why = str_of(text);
    return false;
}

bool pattern_valid(Str p, Str *why)
{
    if (p.len == 0) {
        return refuse(why, "a pattern is not empty (\"**\" selects everything)");
    }
    if (p.len > MAX_PATTERN || wildcard_count(p) > MAX_WILDCARDS) {
        return refuse(why, "a pattern has at most 255 bytes and 8 wildcards");
    }
    bool inside = false;
    for (size_t i = 0; i < p.len; i++) {
        char c = p.ptr[i];
        char before = i > 0 ? p.ptr[i - 1] : '.';
        if (c == '.' && (before == '.' || before == '{' || before == ',' || i + 1 == p.len)) {
            return refuse(why, "a segment between dots is empty");
        }
        if (c == '#' && (inside || !whole_segment(p, i, 1))) {
            return refuse(why, "`#` stands for one whole segment that is a number; within a "
                               "segment write `*`");
        }
        if (is_double_star(p, i)) {
            if (inside || !whole_segment(p, i, 2)) {
                return refuse(why, "`**` stands for whole segments; within a segment write `*`");
            }
            i++;
        } else if (c == '{') {
            if (inside) {
                return refuse(why, "alternatives in `{ }` do not nest");
            }
            inside = true;
        } else if (c == '}' || (c == ',' && inside)) {
            if (!inside) {
                return refuse(why, "a `}` without its `{`");
            }
            if (before == '{' || before == ',' || before == '.') {
                return refuse(why, "an alternative in `{ }` is empty");
            }
            inside = c == ',';
        }
    }
    return inside ? refuse(why, "a `{` without its `}`") : true;
}

/* --- matching ----------------------------------------------------------------------------------
 */
typedef struct Capture {
    size_t from[MAX_WILDCARDS], to[MAX_WILDCARDS]; /* bytes of the key, by wildcard */
} Capture;

typedef struct Threads { /* states alive before one byte of the key, preferred first */
    size_t n;
    uint8_t at[MAX_PATTERN + 1];
    Capture capture[MAX_PATTERN + 1];
    bool present[MAX_PATTERN + 1];
} Threads;

typedef struct Match {
    bool found;
    size_t end; /* of the selected node in the key: the longest */
    Capture capture;
} Match;

static size_t wildcard_index(Str p, size_t at)
{
    return wildcard_count((Str){p.ptr, at});
}

static size_t alternative_end(Str p, size_t at) /* after the `}` that closes */
{
    while (at < p.len && p.ptr[at] != '}') {
        at++;
    }
    return at + 1;
}

static bool in_braces(Str p, size_t at)
{
    for (size_t i = at; i-- > 0;) {
        if (p.ptr[i] == '{' || p.ptr[i] == '}') {
            return p.ptr[i] == '{';
        }
    }
    return false;
}

/* Adds state `at` and all that follow without reading a byte. entering: not from its own loop. */
static void thread_add(Threads *t, Str p, size_t at, size_t i, Capture c, bool entering)
{
    if (t->present[at]) {
        return;
    }
    t->present[at] = true;
    if (at < p.len && p.ptr[at] == '{') {
        for (size_t k = at; k < p.len && p.ptr[k] != '}'; k++) {
            if (k == at || p.ptr[k] == ',') {
                thread_add(t, p, k + 1, i, c, true);
            }
        }
        return;
    }
    if (at < p.len && (p.ptr[at] == '}' || (p.ptr[at] == ',' && in_braces(p, at)))) {
        thread_add(t, p, alternative_end(p, at), i, c, true);
        return;
    }
    size_t length = wildcard_length(p, at);
    if (length > 0) {
        size_t k = wildcard_index(p, at);
        if (entering) {
            c.from[k] = i;
        }
        c.to[k] = i;
        if (length == 2) {
            c.to[k] = i > c.from[k] && at + 2 < p.len ? i - 1 : i; /* without the last dot */
            if (at + 2 < p.len) {
                thread_add(t, p, at + 3, i, c, true);
            }
        } else if (p.ptr[at] == '*' || !entering) {
            thread_add(t, p, at + 1, i, c, true);
        }
    } else if (at + 3 == p.len && p.ptr[at] == '.' && is_double_star(p, at + 1)) {
        Capture none = c; /* `x.**` selects x too */
        size_t k = wildcard_index(p, at + 1);
        none.from[k] = none.to[k] = i;
        thread_add(t, p, p.len, i, none, true);
    }
    t->capture[t->n] = c;
    t->at[t->n++] = (uint8_t)at;
}

/* State `at` reads the key's byte b at i. */
static void thread_read(Threads *next, Str p, size_t at, char b, size_t i, Capture c)
{
    if (at == p.len) {
        return;
    }
    if (is_double_star(p, at) && whole_segment(p, at, 2)) { /* at the start of a segment */
        thread_add(next, p, b == '.' ? at : at + 1, i + 1, c, false);
    } else if (at > 0 && is_double_star(p, at - 1) && whole_segment(p, at - 1, 2)) {
        c.to[wildcard_index(p, at - 1)] = i + 1; /* within a segment of `**` */
        if (b == '.') {
            thread_add(next, p, at - 1, i + 1, c, false);
        } else if (!next->present[at]) {
            next->present[at] = true;
            next->capture[next->n] = c;
            next->at[next->n++] = (uint8_t)at;
        }
    } else if (p.ptr[at] == '*' || p.ptr[at] == '#') {
        if (p.ptr[at] == '*' ? b != '.' : is_digit(b)) {
            thread_add(next, p, at, i + 1, c, false);
        }
    } else if (p.ptr[at] == b) {
        thread_add(next, p, at + 1, i + 1, c, true);
    }
}

static bool accepts(Str p, size_t at)
{
    bool rest = at + 2 == p.len || (at + 1 == p.len && at > 0);
    return at == p.len || (rest && p.len >= 2 && is_double_star(p, p.len - 2));
}

static Match match(Str p, Str key)
{
    assert(p.len > 0 && p.len <= MAX_PATTERN && wildcard_count(p) <= MAX_WILDCARDS);
    Match m = {0};
    Threads lists[2];
    Threads *now = &lists[0], *next = &lists[1];
    now->n = 0;
    memset(now->present, 0, sizeof now->present);
    thread_add(now, p, 0, 0, (Capture){0}, true);
    for (size_t i = 0; now->n > 0; i++) {
        if (i == key.len || (key.ptr[i] == '.' && i > 0)) {
            for (size_t k = 0; k < now->n; k++) {
                if (accepts(p, now->at[k])) {
                    m = (Match){.found = true, .end = i, .capture = now->capture[k]};
                    break;
                }
            }
        }
        if (i == key.len) {
            break;
        }
        next->n = 0;
        memset(next->present, 0, sizeof next->present);
        for (size_t k = 0; k < now->n; k++) {
            thread_read(next, p, now->at[k], key.ptr[i], i, now->capture[k]);
        }
        Threads *swap = now;
        now = next;
        next = swap;
    }
    return m;
}

bool pattern_matches(Str pattern, Str key)
{
    return match(pattern, key).found;
}

/* --- renaming ----------------------------------------------------------------------------------
 */
bool pattern_rename_valid(Str from, Str to, Str *why)
{
    if (!pattern_valid(from, why) || !pattern_valid(to, why)) {
        return false;
    }
    if (memchr(to.ptr, '{', to.len) != NULL) {
        return refuse(why, "the new name has no alternatives `{ }`");
    }
    if (wildcard_count(from) != wildcard_count(to)) {
        return refuse(why, "both sides need the same number of wildcards");
    }
    return true;
}

bool pattern_rename(Arena *arena, Str from, Str to, Str key, Str *renamed)
{
    Match m = match(from, key);
    if (!m.found) {
        return false;
    }
    Buf out = buf_new(arena);
    size_t k = 0;
    for (size_t i = 0; i < to.len;) {
        size_t length = wildcard_length(to, i);
        if (length == 0) {
            bool doubled = to.ptr[i] == '.' && (out.len == 0 || out.ptr[out.len - 1] == '.');
            if (!doubled) { /* a `**` that stands for nothing takes its dot */
                buf_char(&out, to.ptr[i]);
            }
            i++;
            continue;
        }
        Capture c = m.capture;
        buf_add(&out, (Str){key.ptr + c.from[k], c.to[k] - c.from[k]});
        k++;
        i += length;
    }
    if (out.len > 0 && out.ptr[out.len - 1] == '.') {
        out.len--;
    }
    buf_add(&out, (Str){key.ptr + m.end, key.len - m.end});
    *renamed = buf_str(&out);
    return true;
}

/* --- nothing matched: what is there --------------------------------------------------------------
 */
static size_t segment_end(Str p, size_t at) /* dots inside braces do not count */
{
    bool inside = false;
    while (at < p.len && (inside || p.ptr[at] != '.')) {
        inside = p.ptr[at] == '{' || (inside && p.ptr[at] != '}');
        at++;
    }
    return at;
}

static bool selects_any(Str pattern, const Str *keys, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (pattern_matches(pattern, keys[i])) {
            return true;
        }
    }
    return false;
}

static bool listed(const PatternHint *hint, Str name)
{
    for (size_t i = 0; i < hint->names.len; i++) {
        if (str_eq(hint->names.at[i], name)) {
            return true;
        }
    }
    return false;
}

/* The segments that stand directly below the nodes that `reached` selects ("" is the root). */
static void names_below(Arena *arena, PatternHint *hint, const Str *keys, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        Str key = keys[i];
        for (size_t at = 0; at < key.len; at = segment_end(key, at) + 1) {
            Str node = {key.ptr, at > 0 ? at - 1 : 0};
            bool here = hint->reached.len == 0 ? at == 0 : false;
            if (hint->reached.len > 0) {
                Match m = match(hint->reached, node);
                here = (m.found && m.end == node.len && at > 0) || str_is(hint->reached, "**");
            }
            Str name = {key.ptr + at, segment_end(key, at) - at};
            if (here && !listed(hint, name)) {
                VEC_PUSH(arena, hint->names, name);
            }
        }
    }
}

PatternHint pattern_hint(Arena *arena, Str pattern, const Str *keys, size_t n)
{
    PatternHint hint = {.missing = pattern};
    size_t from = 0, end = segment_end(pattern, 0);
    while (end < pattern.len && selects_any((Str){pattern.ptr, end}, keys, n)) {
        hint.reached = (Str){pattern.ptr, end};
        from = end + 1;
        end = segment_end(pattern, from);
    }
    hint.missing = (Str){pattern.ptr + from, end - from};
    names_below(arena, &hint, keys, n);
    Str near = str_nearest(hint.missing, hint.names.at, hint.names.len);
    if (near.len > 0) {
        Str head = {pattern.ptr, from};
        Str tail = {pattern.ptr + end, pattern.len - end};
        Str whole =
            str_format(arena, STR_FMT STR_FMT STR_FMT, STR_ARG(head), STR_ARG(near), STR_ARG(tail));
        Str shorter = {whole.ptr, whole.len - tail.len};
        hint.suggestion = selects_any(whole, keys, n) ? whole : shorter;
    } else if (str_starts(pattern, STR("*.")) || !str_starts(pattern, STR("*"))) {
        Str rest = str_starts(pattern, STR("*.")) ? (Str){pattern.ptr + 2, pattern.len - 2} : pattern;
        Str anywhere = str_format(arena, "**." STR_FMT, STR_ARG(rest));
        hint.suggestion = selects_any(anywhere, keys, n) ? anywhere : (Str){0};
    }
    return hint;
}
