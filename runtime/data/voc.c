/* voc: what is in a picture, as Pascal VOC's annotations say it: a file <annotation> with <size> and, for
 * each thing, <object> with its <name> and its <bndbox>. Everything else is passed over, <part> and
 * <difficult> among it. Coordinates are taken as they stand. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/data.h"

static bool read_number(Xml *x, float *value)
{
    const char *text = xml_text(x);
    return text != NULL &&
           ((number_of(text, value) && isfinite(*value)) || xml_fail(x, "a number was expected"));
}

/* The numbers called `names` among the children of the present element; each must be there once. */
static bool read_numbers(Xml *x, size_t n, const char *const *names, float *values, const char *missing)
{
    unsigned seen = 0;
    XmlName name;
    while (xml_child(x, &name)) {
        size_t i = 0;
        while (i < n && !xml_is(name, names[i])) {
            i++;
        }
        if (i == n) {
            xml_skip(x);
        } else if ((seen >> i & 1) != 0) {
            xml_fail(x, "the same number twice");
        } else {
            seen |= 1u << i;
            read_number(x, &values[i]);
        }
    }
    return x->why == NULL && (seen == (1u << n) - 1 || xml_fail(x, missing));
}

static bool add_name(HoneSys *sys, VocBoxes *boxes, const char *name, int64_t *at, HoneError *error)
{
    int64_t bytes = (int64_t)strlen(name) + 1;
    void *names = boxes->names;
    bool ok = data_room(sys, &names, boxes->names_n, &boxes->names_room, bytes, 1, error);
    boxes->names = names;
    if (ok) {
        memcpy(boxes->names + boxes->names_n, name, (size_t)bytes);
        *at = boxes->names_n;
        boxes->names_n += bytes;
    }
    return ok;
}

/* false with no `why`: error says it. */
static bool read_object(HoneSys *sys, Xml *x, VocBoxes *boxes, HoneError *error)
{
    static const char *const sides[] = {"xmin", "ymin", "xmax", "ymax"};
    VocBox box = {.name = -1};
    bool placed = false;
    XmlName name;
    while (xml_child(x, &name)) {
        bool is_name = xml_is(name, "name"), is_box = xml_is(name, "bndbox");
        if ((is_name && box.name >= 0) || (is_box && placed)) {
            return xml_fail(x, "an object with two names or two boxes");
        }
        if (is_name) {
            const char *text = xml_text(x);
            if (text == NULL || text[0] == '\0') {
                return xml_fail(x, "an object's name is empty");
            }
            if (!add_name(sys, boxes, text, &box.name, error)) {
                return false;
            }
        } else if (is_box) {
            placed = read_numbers(x, 4, sides, box.at, "a box needs xmin, ymin, xmax and ymax");
        } else {
            xml_skip(x);
        }
    }
    if (x->why == NULL && (box.name < 0 || !placed)) {
        return xml_fail(x, box.name < 0 ? "an object without a name" : "an object without a box");
    }
    void *at = boxes->at;
    bool ok = x->why == NULL && data_room(sys, &at, boxes->n, &boxes->room, 1, sizeof box, error);
    boxes->at = at;
    if (ok) {
        boxes->at[boxes->n++] = box;
    }
    return ok;
}

/* false with no `why`: error says it. */
static bool read_annotation(HoneSys *sys, Xml *x, VocBoxes *boxes, VocSize *size, HoneError *error)
{
    static const char *const sides[] = {"width", "height"};
    XmlName name;
    if (!xml_child(x, &name) || !xml_is(name, "annotation")) {
        return xml_fail(x, "an <annotation> was expected");
    }
    while (xml_child(x, &name)) {
        if (xml_is(name, "object")) {
            if (!read_object(sys, x, boxes, error)) {
                return false;
            }
        } else if (xml_is(name, "size")) {
            float values[2];
            if (!read_numbers(x, 2, sides, values, "a size needs width and height")) {
                return false;
            }
            *size = (VocSize){(double)values[0], (double)values[1]};
        } else {
            xml_skip(x);
        }
    }
    return x->why == NULL && xml_end(x);
}

bool voc_read(HoneSys *sys, const char *path, VocBoxes *boxes, VocSize *size, HoneError *error)
{
    size_t bytes = 0;
    char *text = data_file(sys, path, &bytes, error);
    if (text == NULL) {
        return false;
    }
    *size = (VocSize){0};
    Xml x = xml(text, bytes);
    if (memchr(text, '\0', bytes) != NULL) {
        xml_fail(&x, "there is a zero byte in it");
    }
    bool ok = x.why == NULL && read_annotation(sys, &x, boxes, size, error);
    if (x.why != NULL) {
        hone_fail(error, HONE_BAD_INPUT, "E704", "`%.300s`, line %lld: %s", path,
                  (long long)xml_line(&x), x.why);
        hone_error_help(error, "annotations are Pascal VOC's; mend the file, or set `skip_bad = true`");
    }
    hone_free(sys, text);
    return ok;
}

void voc_free(HoneSys *sys, VocBoxes *boxes)
{
    hone_free(sys, boxes->at);
    hone_free(sys, boxes->names);
}
