/* wordpiece: text to numbers as BERT does it (Devlin et al. 2019; Schuster and Nakajima 2012). Words end
 * at white space; punctuation and Chinese characters are words of their own; an uncased vocabulary
 * sees lower case without accents. A word is cut from its start into the longest pieces that the
 * vocabulary has; later pieces are written with ## before them. What has no such cut, or is longer than
 * 100 characters, is [UNK]. */
#include <errno.h>
#include <string.h>

#include "text.h"

enum { WORD_BYTES = 512, WORD_CHARACTERS = 100 };

struct Wordpiece {
    HoneSys *sys;
    char *bytes;                 /* the file */
    const char **pieces;         /* by number: where it begins … */
    uint32_t *lengths;           /* … and its bytes */
    int32_t n, unknown;
    uint32_t *slots;             /* number + 1, by hash */
    size_t n_slots;
    bool lower;
};

/* --- the vocabulary ------------------------------------------------------------------------------- */
static uint64_t hash_of(const char *text, size_t n)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);   /* FNV-1a */
    for (size_t i = 0; i < n; i++) {
        hash = (hash ^ (unsigned char)text[i]) * UINT64_C(0x100000001b3);
    }
    return hash;
}

/* The slot of the text, or the empty one where it would stand. */
static size_t slot_of(const Wordpiece *w, const char *text, size_t n)
{
    size_t i = hash_of(text, n) & (w->n_slots - 1);
    while (w->slots[i] != 0 && (w->lengths[w->slots[i] - 1] != n ||
                                memcmp(w->pieces[w->slots[i] - 1], text, n) != 0)) {
        i = (i + 1) & (w->n_slots - 1);
    }
    return i;
}

static int32_t find(const Wordpiece *w, const char *text, size_t n)
{
    return (int32_t)w->slots[slot_of(w, text, n)] - 1;
}

int32_t wordpiece_find(const Wordpiece *w, const char *piece)
{
    return find(w, piece, strlen(piece));
}

static bool read_file(Wordpiece *w, const char *path, size_t *size, HoneError *error)
{
    char why[128];
    int fd = hone_open_read(w->sys, path);
    int64_t bytes = fd < 0 ? -1 : hone_file_size(w->sys, fd);
    if (bytes < 0 || bytes > 1 << 28) {
        hone_fail(error, HONE_BAD_INPUT, "E702", "cannot read the vocabulary `%.300s`: %s", path,
                  bytes < 0 ? hone_errno_text(errno, why) : "it is too large");
        if (fd >= 0) {
            hone_close(w->sys, fd);
        }
        return false;
    }
    *size = (size_t)bytes;
    w->bytes = hone_alloc(w->sys, *size + 1);
    bool ok = w->bytes != NULL;
    if (!ok) {
        hone_fail_memory(error, "the vocabulary", *size);
    } else if (hone_read_at(w->sys, fd, w->bytes, *size, 0) != 0) {
        ok = hone_fail(error, HONE_BAD_INPUT, "E702", "cannot read the vocabulary `%.300s`: %s", path,
                       hone_errno_text(errno, why));
    }
    hone_close(w->sys, fd);
    return ok;
}

static bool make_table(Wordpiece *w, size_t size, HoneError *error)
{
    size_t lines = 1;
    for (size_t i = 0; i < size; i++) {
        lines += w->bytes[i] == '\n';
    }
    for (w->n_slots = 64; w->n_slots < 2 * lines; w->n_slots *= 2) {
    }
    w->pieces = hone_alloc(w->sys, lines * sizeof *w->pieces);
    w->lengths = hone_alloc(w->sys, lines * sizeof *w->lengths);
    w->slots = hone_alloc(w->sys, w->n_slots * sizeof *w->slots);
    if (w->pieces == NULL || w->lengths == NULL || w->slots == NULL) {
        return hone_fail_memory(error, "the vocabulary", w->n_slots * sizeof *w->slots);
    }
    for (size_t at = 0; at < size;) {
        size_t end = at;
        while (end < size && w->bytes[end] != '\n') {
            end++;
        }
        size_t n = end > at && w->bytes[end - 1] == '\r' ? end - at - 1 : end - at;
        w->pieces[w->n] = w->bytes + at;
        w->lengths[w->n] = (uint32_t)n;
        size_t slot = slot_of(w, w->bytes + at, n);
        w->n++;
        w->slots[slot] = w->slots[slot] == 0 ? (uint32_t)w->n : w->slots[slot];
        at = end + 1;
    }
    return true;
}

Wordpiece *wordpiece_open(HoneSys *sys, const char *path, bool lower, HoneError *error)
{
    size_t size = 0;
    Wordpiece *w = hone_alloc(sys, sizeof *w);
    if (w == NULL) {
        hone_fail_memory(error, "the vocabulary", sizeof *w);
        return NULL;
    }
    w->sys = sys;
    w->lower = lower;
    bool ok = read_file(w, path, &size, error) && make_table(w, size, error);
    if (ok && (w->unknown = wordpiece_find(w, "[UNK]")) < 0) {
        ok = hone_fail(error, HONE_BAD_INPUT, "E704", "the vocabulary `%.300s` has no `[UNK]`", path);
        hone_error_help(error, "a vocabulary is BERT's vocab.txt: one piece per line");
    }
    if (!ok) {
        wordpiece_free(w);
        return NULL;
    }
    return w;
}

void wordpiece_free(Wordpiece *w)
{
    if (w != NULL) {
        hone_free(w->sys, w->bytes);
        hone_free(w->sys, w->pieces);
        hone_free(w->sys, w->lengths);
        hone_free(w->sys, w->slots);
        hone_free(w->sys, w);
    }
}

/* --- characters ------------------------------------------------------------------------------------- */
/* The character at *at, which moves on; what is no UTF-8 is 0xFFFD. */
static uint32_t next_character(const char *text, size_t n, size_t *at)
{
    unsigned char first = (unsigned char)text[(*at)++];
    size_t more = first < 0x80 ? 0 : first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : first >= 0xC2 ? 1 : 4;
    uint32_t c = more == 0 ? first : first & (0x3Fu >> more);
    if (more == 4 || first > 0xF4 || *at + more > n) {
        return 0xFFFD;
    }
    for (size_t i = 0; i < more; i++) {
        unsigned char byte = (unsigned char)text[*at + i];
        if (byte >> 6 != 2) {
            return 0xFFFD;
        }
        c = c << 6 | (byte & 0x3F);
    }
    *at += more;
    return c;
}

static size_t put_character(char *to, uint32_t c)
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    size_t more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    for (size_t i = more; i > 0; i--, c >>= 6) {
        to[i] = (char)(0x80 | (c & 0x3F));
    }
    to[0] = (char)((0xFF00u >> (more + 1) & 0xFF) | c);
    return more + 1;
}

typedef struct Range {
    uint32_t first, last, step, to;
} Range;

static const Range folds[] = {
#define FOLD(first, last, step, to) {first, last, step, to},
#define PUNCTUATION(first, last)
#define HIDDEN(first, last)
#include "unicode.def"
#undef FOLD
#undef PUNCTUATION
#undef HIDDEN
};
static const Range punctuation[] = {
#define FOLD(first, last, step, to)
#define PUNCTUATION(first, last) {first, last, 1, 0},
#define HIDDEN(first, last)
#include "unicode.def"
#undef FOLD
#undef PUNCTUATION
#undef HIDDEN
};
static const Range hidden[] = {
#define FOLD(first, last, step, to)
#define PUNCTUATION(first, last)
#define HIDDEN(first, last) {first, last, 1, 0},
#include "unicode.def"
#undef FOLD
#undef PUNCTUATION
#undef HIDDEN
};

/* The ranges that contain c follow one another: the last that begins at or before c, or those before. */
static const Range *range_of(size_t n, const Range *ranges, uint32_t c)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (ranges[middle].first <= c) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    for (size_t i = low; i > 0 && low - i < 4; i--) {
        const Range *r = &ranges[i - 1];
        if (c <= r->last && (c - r->first) % r->step == 0) {
            return r;
        }
    }
    return NULL;
}
#define RANGE_OF(ranges, c) range_of(sizeof(ranges) / sizeof *(ranges), ranges, c)

static bool is_space(uint32_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
           c == 0x205F || c == 0x3000;
}

static bool is_hidden(uint32_t c)
{
    return c < 0x20 || c == 0x7F || (c >= 0x80 && RANGE_OF(hidden, c) != NULL);
}

static bool is_punctuation(uint32_t c)
{
    return c < 0x80 ? (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) ||
                          (c >= 123 && c <= 126)
                    : RANGE_OF(punctuation, c) != NULL;
}

static bool is_chinese(uint32_t c)
{
    return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
           (c >= 0x20000 && c <= 0x2CEAF) || (c >= 0xF900 && c <= 0xFAFF) ||
           (c >= 0x2F800 && c <= 0x2FA1F);
}

/* 0: dropped. */
static uint32_t folded(uint32_t c)
{
    if (c < 0x80) {
        return c >= 'A' && c <= 'Z' ? c + 32 : c;
    }
    const Range *r = RANGE_OF(folds, c);
    return r == NULL ? c : r->to == 0 ? 0 : r->to + (c - r->first);
}

/* --- words -------------------------------------------------------------------------------------------- */
typedef struct Word {
    const Wordpiece *w;
    int32_t *ids;
    int64_t n, most;             /* pieces so far */
    size_t bytes, characters;
    char text[2 + WORD_BYTES];   /* ## and the word */
} Word;

static void put_id(Word *word, int32_t id)
{
    if (word->n < word->most) {
        word->ids[word->n] = id;
    }
    word->n++;
}

/* The longest piece at `start`: its end, or start where there is none. */
static size_t longest(Word *word, size_t start, int32_t *id)
{
    char kept[2];
    char *from = word->text + 2 + start;
    size_t marks = start > 0 ? 2 : 0;
    memcpy(kept, from - 2, 2);
    if (start > 0) {
        memcpy(from - 2, "##", 2);
    }
    size_t end = word->bytes;
    for (; end > start; end--) {
        bool whole = end == word->bytes || ((unsigned char)word->text[2 + end] >> 6) != 2;
        if (whole && (*id = find(word->w, from - marks, end - start + marks)) >= 0) {
            break;
        }
    }
    memcpy(from - 2, kept, 2);
    return end;
}

static void end_word(Word *word)
{
    int64_t before = word->n;
    bool known = word->characters <= WORD_CHARACTERS && word->bytes <= WORD_BYTES;
    for (size_t start = 0; start < word->bytes && known;) {
        int32_t id;
        size_t end = longest(word, start, &id);
        known = end > start;
        start = end;
        if (known) {
            put_id(word, id);
        }
    }
    if (!known) {
        word->n = before;
        put_id(word, word->w->unknown);
    }
    word->bytes = word->characters = 0;
}

static void add_character(Word *word, uint32_t c)
{
    if (word->bytes + 4 <= WORD_BYTES) {
        word->bytes += put_character(word->text + 2 + word->bytes, c);
    }
    word->characters++;
}

int64_t wordpiece_encode(const Wordpiece *w, const char *text, size_t n, int32_t *ids, int64_t most)
{
    Word word = {.w = w, .ids = ids, .most = most};
    for (size_t at = 0; at < n;) {
        uint32_t c = next_character(text, n, &at);
        if (is_space(c)) {
            end_word(&word);
            continue;
        }
        c = is_hidden(c) ? 0 : w->lower ? folded(c) : c;
        if (c == 0) {
            continue;
        }
        bool alone = is_punctuation(c) || is_chinese(c);
        if (alone) {
            end_word(&word);
        }
        add_character(&word, c);
        if (alone) {
            end_word(&word);
        }
    }
    end_word(&word);
    return word.n;
}
