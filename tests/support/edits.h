/* edits: programs with words, numbers and lines exchanged, so that most still parse and mean
 * something else. */
#ifndef TEST_EDITS_H
#define TEST_EDITS_H

#include <stddef.h>
#include <stdint.h>

enum { EDIT_TEXTS = 256, EDIT_WORDS = 1 << 15, EDIT_LONGEST = 1 << 16 };

typedef struct EditWord {
    const char *at;
    size_t len;
    int kind;                    /* 'a' name, '0' number, '"' string, else the operator's first byte */
} EditWord;

typedef struct Edits {           /* large: static */
    size_t n_texts, n_words;
    char *texts[EDIT_TEXTS];
    EditWord words[EDIT_WORDS];  /* of all texts: what may take a word's place */
} Edits;

void edits_take(Edits *edits, const char *path);       /* a file as one more text */
size_t edits_take_folder(Edits *edits, const char *path);   /* its .hone files; how many */
void edits_free(Edits *edits);
/* One of the texts, edited `times` times; which one. */
size_t edits_next(const Edits *edits, uint64_t *seed, size_t times, char to[EDIT_LONGEST]);
/* One edit of bytes, after which few programs parse: a bit flipped, a stretch deleted, doubled or
 * overwritten by another, a digit changed. */
void edits_bytes(uint64_t *seed, char text[EDIT_LONGEST]);
uint64_t edits_random(uint64_t *seed);

#endif
