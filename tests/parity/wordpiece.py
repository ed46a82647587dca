#!/usr/bin/env python3
"""Writes runtime/text/unicode.def: what WordPiece of an uncased BERT does to characters beyond ASCII, from
Python's unicodedata. With arguments VOCAB TEXT: the token numbers that Hugging Face's BertTokenizer gives
for every line of TEXT, for comparison (needs transformers).

Lower case and without accents: Latin, Greek, Cyrillic, Armenian, letterlike symbols, full width; marks of
all scripts.
"""
import os
import sys
import unicodedata as u


def fold(c):
    return "".join(x for x in u.normalize("NFD", chr(c).lower()) if u.category(x) != "Mn")


def kept(c):
    return (c < 0x590 or u.category(chr(c)) == "Mn" or 0x1DC0 <= c < 0x2000 or 0x20D0 <= c < 0x2150 or
            0xFF21 <= c < 0xFF5B)


def folds():
    runs = []                                     # first, last, step, distance; None: dropped
    for c in filter(kept, range(0x80, 0x10000)):
        to = fold(c)
        if to == chr(c) or len(to) > 1:
            continue
        by = ord(to) - c if to else None
        last = runs[-1] if runs else None
        step = c - last[1] if last else 0
        if last and last[3] == by and (step == last[2] or (last[0] == last[1] and step <= 2)):
            last[1], last[2] = c, step
        else:
            runs.append([c, c, 1, by])
    return ["FOLD(0x%X, 0x%X, %d, 0x%X)" % (a, b, s, 0 if by is None else a + by) for a, b, s, by in runs]


def ranges(name, of):
    runs = []
    for c in filter(of, range(0x80, 0x10000)):
        if runs and runs[-1][1] == c - 1:
            runs[-1][1] = c
        else:
            runs.append([c, c])
    return ["%s(0x%X, 0x%X)" % (name, *r) for r in runs]


def lines(rows):
    text = ""
    for row in rows:
        text += ("" if not text else "\n" if len(text.rsplit("\n", 1)[-1]) + len(row) > 98 else " ") + row
    return text


def write_table():
    rows = [folds(), ranges("PUNCTUATION", lambda c: u.category(chr(c))[0] == "P"),
            ranges("HIDDEN", lambda c: u.category(chr(c)) in ("Cc", "Cf", "Co", "Cs") or c == 0xFFFD)]
    path = os.path.join(os.path.dirname(__file__), "..", "..", "runtime", "text", "unicode.def")
    with open(path, "w") as f:
        f.write("/* unicode.def: made by tests/parity/wordpiece.py from Unicode's data, of what lies beyond ASCII and\n"
                " * below 0x10000. FOLD(first, last, step, to): every step-th character from first to last becomes the\n"
                " * one as far from `to`; to 0: it is dropped. PUNCTUATION(first, last), HIDDEN(first, last): control. */\n")
        f.write("\n".join(map(lines, rows)) + "\n")


def write_ids(vocab, text):
    from transformers import BertTokenizer
    tokenizer = BertTokenizer(vocab, do_lower_case=True)
    for line in open(text, encoding="utf-8", newline="\n"):
        print(*tokenizer.encode(line.rstrip("\n"), add_special_tokens=False))


write_ids(*sys.argv[1:]) if len(sys.argv) > 1 else write_table()
