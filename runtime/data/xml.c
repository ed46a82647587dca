/* xml: a strict pull reader of the part of XML that files of annotations are made of: elements,
 * attributes (which are passed over), text, comments and the five entities. Declarations (<!DOCTYPE,
 * <![CDATA[) are refused, so nothing in a file can name another or grow. It works in place and holds no
 * tree; elements nest to a fixed depth. */
#include <string.h>

#include "data/data.h"

typedef enum Tag { TAG_BAD, TAG_OPEN, TAG_CLOSE, TAG_END } Tag;

Xml xml(char *text, size_t bytes)
{
    return (Xml){.text = text, .at = text_begin(text, bytes), .end = text + bytes};
}

bool xml_fail(Xml *x, const char *why)
{
    x->why = x->why == NULL ? why : x->why;
    return false;
}

int64_t xml_line(const Xml *x)
{
    int64_t line = 1;
    for (const char *at = x->text; at < x->at; at++) {
        line += *at == '\n';
    }
    return line;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static bool begins(const Xml *x, const char *with)
{
    size_t n = strlen(with);
    return (size_t)(x->end - x->at) >= n && memcmp(x->at, with, n) == 0;
}

/* Behind the next `stop`. */
static bool pass(Xml *x, const char *stop)
{
    for (; x->at < x->end; x->at++) {
        if (begins(x, stop)) {
            x->at += strlen(stop);
            return true;
        }
    }
    return xml_fail(x, "it ends too early");
}

static XmlName read_name(Xml *x)
{
    XmlName name = {.at = x->at};
    while (x->at < x->end && !is_space(*x->at) && strchr("<>/=&\"'", *x->at) == NULL) {
        x->at++;
    }
    name.n = (size_t)(x->at - name.at);
    return name;
}

bool xml_is(XmlName name, const char *text)
{
    return strlen(text) == name.n && memcmp(name.at, text, name.n) == 0;
}

/* Behind `</`: the end of the innermost element. */
static Tag close_tag(Xml *x)
{
    XmlName name = read_name(x);
    while (x->at < x->end && is_space(*x->at)) {
        x->at++;
    }
    const XmlName *open = x->depth > 0 ? &x->open[x->depth - 1] : NULL;
    if (x->at == x->end || *x->at != '>') {
        xml_fail(x, "`>` was expected");
        return TAG_BAD;
    }
    if (open == NULL || open->n != name.n || memcmp(open->at, name.at, name.n) != 0) {
        xml_fail(x, "an end tag that closes nothing");
        return TAG_BAD;
    }
    x->at++;
    x->depth--;
    return TAG_CLOSE;
}

/* Behind `<`: a name and attributes. */
static Tag open_tag(Xml *x)
{
    XmlName name = read_name(x);
    if (name.n == 0 || x->depth == XML_DEPTH) {
        xml_fail(x, name.n == 0 ? "a tag without a name" : "elements nest too deep");
        return TAG_BAD;
    }
    while (x->at < x->end && *x->at != '>' && !begins(x, "/>")) {
        char c = *x->at++;
        if (c == '<') {
            xml_fail(x, "`<` within a tag");
            return TAG_BAD;
        }
        if ((c == '"' || c == '\'') && !pass(x, (char[2]){c, '\0'})) {
            return TAG_BAD;
        }
    }
    if (x->at == x->end) {
        xml_fail(x, "it ends too early");
        return TAG_BAD;
    }
    x->empty = *x->at == '/';
    x->at += x->empty ? 2 : 1;
    x->open[x->depth++] = name;
    return TAG_OPEN;
}

/* The next tag; mixed: text before it is passed over, otherwise refused. */
static Tag next_tag(Xml *x, bool mixed)
{
    if (x->why != NULL) {
        return TAG_BAD;
    }
    if (x->empty) {
        x->empty = false;
        x->depth--;
        return TAG_CLOSE;
    }
    for (;;) {
        while (x->at < x->end && *x->at != '<' && (mixed || is_space(*x->at))) {
            x->at++;
        }
        if (x->at == x->end) {
            if (x->depth > 0) {
                xml_fail(x, "it ends too early");
            }
            return x->depth > 0 ? TAG_BAD : TAG_END;
        }
        if (*x->at != '<') {
            xml_fail(x, "text outside of the elements that hold it");
            return TAG_BAD;
        }
        if (begins(x, "<!--") || begins(x, "<?")) {
            if (!pass(x, x->at[1] == '?' ? "?>" : "-->")) {
                return TAG_BAD;
            }
        } else if (begins(x, "<!")) {
            xml_fail(x, "a declaration: these are not read");
            return TAG_BAD;
        } else if (begins(x, "</")) {
            x->at += 2;
            return close_tag(x);
        } else {
            x->at++;
            return open_tag(x);
        }
    }
}

bool xml_child(Xml *x, XmlName *name)
{
    if (next_tag(x, false) != TAG_OPEN) {
        return false;
    }
    *name = x->open[x->depth - 1];
    return true;
}

bool xml_skip(Xml *x)
{
    for (int depth = x->depth; x->depth >= depth;) {
        if (next_tag(x, true) == TAG_BAD) {
            return false;
        }
    }
    return true;
}

/* An entity behind its `&`, as one character of ASCII; others do not occur in what is read. */
static bool entity(Xml *x, const char **at, const char *stop, char *to)
{
    static const struct {
        const char *name;
        char is;
    } known[] = {{"lt;", '<'}, {"gt;", '>'}, {"amp;", '&'}, {"quot;", '"'}, {"apos;", '\''}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        size_t n = strlen(known[i].name);
        if ((size_t)(stop - *at) >= n && memcmp(*at, known[i].name, n) == 0) {
            *to = known[i].is;
            *at += n;
            return true;
        }
    }
    return xml_fail(x, "an entity other than &lt; &gt; &amp; &quot; &apos;");
}

char *xml_text(Xml *x)
{
    char *text = x->at, *to = x->at;
    bool empty = x->empty;
    char *stop = empty ? x->at : memchr(x->at, '<', (size_t)(x->end - x->at));
    if (x->why != NULL || stop == NULL) {
        xml_fail(x, "it ends too early");
        return NULL;
    }
    x->at = stop;
    if (!empty && !begins(x, "</")) {
        xml_fail(x, "an element where text was expected");
        return NULL;
    }
    if (next_tag(x, false) != TAG_CLOSE) {
        return NULL;
    }
    if (empty) {
        return x->nothing;
    }
    while (text < stop && is_space(*text)) {
        text++;
    }
    to = text;
    for (const char *at = text; at < stop;) {
        char c = *at++;
        if (c == '&' && !entity(x, &at, stop, &c)) {
            return NULL;
        }
        *to++ = c;
    }
    while (to > text && is_space(to[-1])) {
        to--;
    }
    *to = '\0';
    return text;
}

bool xml_end(Xml *x)
{
    return next_tag(x, false) == TAG_END || xml_fail(x, "more than one element at the top");
}
