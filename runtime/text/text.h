/* text: tokenizers.
 *
 *   wordpiece.c   BERT's: basic splitting, then the longest pieces of a vocabulary
 *   unicode.def   characters beyond ASCII, made by a script
 */
#ifndef HONE_TEXT_H
#define HONE_TEXT_H

#include "internal.h"

typedef struct Wordpiece Wordpiece;
/* A vocabulary with a piece per line, numbered from 0; lower: an uncased one. NULL: *error. */
Wordpiece *wordpiece_open(HoneSys *sys, const char *path, bool lower, HoneError *error);
void wordpiece_free(Wordpiece *wordpiece);
/* The number of a piece such as "[CLS]"; -1: there is none. */
int32_t wordpiece_find(const Wordpiece *wordpiece, const char *piece);
/* The numbers of the n bytes' pieces: how many there are, of which at most `most` are written. */
int64_t wordpiece_encode(const Wordpiece *wordpiece, const char *text, size_t n, int32_t *ids,
                         int64_t most);

#endif
