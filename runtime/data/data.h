/* data: what the files of this folder share.
 *
 *   dataset.c   opening a source: finds the reader, its options and fields
 *   images.c    image folders: listing, checking, one sample
 *   segments.c  pictures and their masks
 *   boxes.c     pictures and the things in them
 *   voc.c       files that say what is in a picture
 *   xml.c       the part of XML that these are made of
 *   pictures.c  what the sources of pictures share
 *   pairs.c     files of two folders that belong together
 *   arrays.c    npz and safetensors: one field per key
 *   tokens.c    flat files of token numbers: windows of them
 *   text.c      lines of text and labels, as numbers of a vocabulary
 *   table.c     lines of numbers, cells apart by commas or tabs
 *   classes.c   names of classes and their numbers
 *   decode.c    JPEG and PNG files to RGB bytes
 *   resize.c    Pillow's antialiased bilinear resize, exactly
 *   augment.c   which part of a picture, drawn as a pure function of (seed, epoch, sample)
 *   loader.c    batches in a fixed order, decoded ahead
 */
#ifndef HONE_DATA_H
#define HONE_DATA_H

#include <pthread.h>

#include "internal.h"

/* How to read a sample: evaluation, or training with draws keyed by (seed, epoch, sample). */
typedef struct SampleMode {
    bool augment;
    uint64_t seed, epoch;
} SampleMode;

/* What decoding a picture takes, in bytes; of several pictures the most. */
typedef struct WorkNeed {
    size_t file, pixels, rows;
    size_t inner;                     /* in the decoder's own hands */
} WorkNeed;

/* Memory of one decoding thread; grows where a picture needs more than was said. */
typedef struct Workspace {
    HoneSys *sys;
    struct WorkBlock {
        void *at;
        size_t bytes;
    } file, pixels, rows, weights;
} Workspace;
void *workspace_get(Workspace *work, struct WorkBlock *block, size_t bytes);   /* NULL: no memory */
bool workspace_reserve(Workspace *work, const WorkNeed *need);                 /* false: no memory */
void workspace_free(Workspace *work);

typedef struct Reader {
    const char *name;
    const HoneArgument *arguments;    /* in positional order, the last without a name */
    const char *label;                /* the field whose values are classes; NULL: `label` */
    const char *crop;                 /* of pictures, where the source does not say; NULL: it has none */
    bool cheap;                       /* a sample is a copy: not worth a thread */
    /* The fields that follow from the options alone; false if they depend on the file. */
    bool (*fields)(const HoneSource *source, HoneField *fields, size_t *n);
    bool (*open)(HoneDataset *data, HoneError *error);
    /* Writes sample's fields, each row-major. */
    bool (*read)(const HoneDataset *data, int64_t sample, const SampleMode *mode, Workspace *work,
                 void *const *fields, HoneError *error);
    void (*close)(HoneDataset *data);
    /* All values of a field, where they are in memory; may be NULL. */
    const void *(*values)(const HoneDataset *data, size_t field);
    /* The least and largest value of a field, where opening found them; may be NULL. */
    bool (*range)(const HoneDataset *data, size_t field, int64_t *low, int64_t *high);
    /* How much of `length` a sample takes; may be NULL: all. */
    int64_t (*length)(const HoneDataset *data, int64_t sample);
} Reader;

struct HoneDataset {
    HoneSys *sys;
    const Reader *reader;
    const HoneSource *source;
    char *root;
    size_t n_fields;
    HoneField fields[HONE_MAX_FIELDS];
    int64_t count, skipped;
    char skipped_first[400];          /* names of the first of them */
    size_t n_classes, n_columns;
    const char **classes;
    const char **columns;             /* names of what a field's last dimension counts, or NULL */
    uint64_t bytes;                   /* held in memory */
    WorkNeed need;                    /* of a thread that reads samples */
    void *state;                      /* the reader's */
};

const Reader *reader_find(const char *name);                          /* NULL: there is none */
/* Options by name; the default where absent. */
const HoneOption *source_option(const HoneSource *source, const char *name);
int64_t source_int(const HoneSource *source, const char *name, int64_t absent);
double source_float(const HoneSource *source, const char *name, double absent);
bool source_bool(const HoneSource *source, const char *name, bool absent);
const char *source_string(const HoneSource *source, const char *name, const char *absent);
/* root/path, or path if absolute; hone_free it. NULL: no memory. */
char *path_join(HoneSys *sys, const char *root, const char *path);
size_t field_bytes(const HoneField *field);
/* A file's bytes and a zero behind them; hone_free them. NULL: it cannot be read. */
char *data_file(HoneSys *sys, const char *path, size_t *size, HoneError *error);
/* Behind the mark with which a text in UTF-8 may begin. */
char *text_begin(char *text, size_t bytes);
/* As data_file, of text: with a zero byte in it, it is refused. */
char *data_text(HoneSys *sys, const char *path, size_t *size, HoneError *error);
/* Digits, signs, a dot, an exponent; false where it is anything else. What f32 does not hold is infinite. */
bool number_of(const char *text, float *value);
/* Room for `more` behind n of *room elements, which may move. */
bool data_room(HoneSys *sys, void **at, int64_t n, int64_t *room, int64_t more, size_t element,
               HoneError *error);

/* --- classes.c ----------------------------------------------------------------------------------- */
/* The names in one block, theirs from now on; hone_free it. NULL: no memory. */
const char **names_copy(HoneSys *sys, int64_t n, const char *const *names, HoneError *error);
/* Sets the data's classes to the different ones among n names. */
bool classes_make(HoneDataset *data, int64_t n, const char *const *names, HoneError *error);
int32_t class_number(const HoneDataset *data, const char *name);    /* -1: no class */

/* --- decode.c ------------------------------------------------------------------------------------ */
typedef struct Picture {
    int64_t width, height;
    uint8_t *rgb;                     /* [height, width, 3] in the workspace; of a mask [height, width] */
} Picture;
typedef struct PictureHead {
    int64_t bytes, width, height;     /* of the file; of the picture, 0: it does not say */
    size_t pixels, inner;             /* what decoding takes, as in WorkNeed */
    bool mask;                        /* one value of up to 8 bits for a pixel */
} PictureHead;
/* Does the file begin as a picture that decode can read, and how large is it? Reads headers only. */
bool picture_check(HoneSys *sys, const char *path, PictureHead *head, HoneError *error);
bool picture_decode(Workspace *work, const char *path, Picture *picture, HoneError *error);
/* The same for a PNG file of up to 8 bits, grey or with a palette: its raw values. */
bool mask_check(HoneSys *sys, const char *path, PictureHead *head, HoneError *error);
bool mask_decode(Workspace *work, const char *path, Picture *mask, HoneError *error);

/* --- augment.c -------------------------------------------------------------------------------------- */
/* A picture is cut to the box, resized to (to_width, to_height), of which the window of size S at
 * (left, top) is kept, mirrored if flip. */
typedef struct Crop {
    int64_t x, y, width, height;      /* box, in source pixels */
    int64_t to_width, to_height;
    int64_t left, top;
    int64_t of_width, of_height;      /* the picture */
    bool flip;
} Crop;
Crop crop_center(int64_t width, int64_t height, int64_t size);
Crop crop_whole(int64_t width, int64_t height, int64_t size);
Crop crop_random(int64_t width, int64_t height, int64_t size, double scale, bool flip,
                 const SampleMode *mode, int64_t sample);

/* --- resize.c --------------------------------------------------------------------------------------- */
/* Writes f32 [3, size, size], byte / 255. */
bool resize_picture(Workspace *work, const Picture *picture, const Crop *crop, int64_t size,
                    float *to, HoneError *error);
/* The same part of a mask, by the nearest pixels: i32 [size, size]. */
void resize_mask(const Picture *mask, const Crop *crop, int64_t size, int32_t *to);

/* --- pictures.c ---------------------------------------------------------------------------------- */
enum { PICTURE_SIZE = 4096 };         /* the largest `size` */
/* Rows of Reader.arguments. */
#define ARGUMENT_SIZE                                                                              \
    {.name = "size", .kind = HONE_OPT_INT, .needed = true, .least = 1, .most = PICTURE_SIZE}
#define ARGUMENT_CROP {.name = "crop", .kind = HONE_OPT_STRING, .choices = picture_crops}
#define ARGUMENT_SCALE {.name = "scale", .kind = HONE_OPT_FLOAT, .least = 0, .most = 1}
#define ARGUMENT_FLIP {.name = "flip", .kind = HONE_OPT_BOOL}
extern const char *const picture_crops[];
bool pictures_bad_size(const HoneSource *source, HoneError *error);    /* always false */
/* Is every picture decoded once as the source is opened? With skip_bad, so that what remains is known to
 * be readable; but not where only headers are asked for (the compiler). */
bool pictures_tried(const HoneDataset *data);
/* Passes over a bad file and notes it; false with `why` in error where that may not be. */
bool pictures_skip(HoneDataset *data, const char *path, const HoneError *why, HoneError *error);
void pictures_need(HoneDataset *data, const PictureHead *head, int64_t size);
bool picture_read(const HoneSource *source, const char *path, const SampleMode *mode,
                  int64_t sample, Workspace *work, Crop *crop, float *to, HoneError *error);

/* --- pairs.c ------------------------------------------------------------------------------------- */
typedef struct Pair {
    char *picture, *other;            /* paths */
} Pair;
typedef struct Pairs {
    Pair *at;
    size_t n;
} Pairs;
size_t stem_length(const char *name);                                  /* up to the last dot */
bool pairs_list(HoneSys *sys, const char *root, const char *pictures, const char *others,
                Pairs *pairs, HoneError *error);
void pair_free(HoneSys *sys, Pair *pair);
void pairs_free(HoneSys *sys, Pairs *pairs);

/* --- xml.c ---------------------------------------------------------------------------------------
 * The caller asks for children one by one, and reads or skips each:
 *
 *   while (xml_child(&x, &name)) { if (xml_is(name, "size")) … else xml_skip(&x); }
 *   if (x.why != NULL) report(x.why, xml_line(&x));
 */
enum { XML_DEPTH = 16 };
typedef struct XmlName {
    const char *at;
    size_t n;
} XmlName;
typedef struct Xml {
    char *text, *at, *end;
    const char *why;                  /* NULL, or the first thing that is wrong; all calls then fail */
    XmlName open[XML_DEPTH];          /* the elements around `at` */
    int depth;
    bool empty;                       /* the innermost is <name/> */
    char nothing[1];                  /* its text */
} Xml;
Xml xml(char *text, size_t bytes);                  /* text[bytes] is readable; text may be written */
bool xml_child(Xml *x, XmlName *name);              /* false at the end of the element and on errors */
bool xml_is(XmlName name, const char *text);
bool xml_skip(Xml *x);                              /* the rest of the element, whatever it is */
char *xml_text(Xml *x);                             /* all of the element, trimmed; NULL on errors */
bool xml_end(Xml *x);                               /* nothing but comments follows */
bool xml_fail(Xml *x, const char *why);
int64_t xml_line(const Xml *x);

/* --- voc.c --------------------------------------------------------------------------------------- */
enum { BOXES_MOST = 4096 };           /* the largest `most` */
typedef struct VocBox {
    float at[4];                      /* xmin ymin xmax ymax */
    int64_t name;                     /* where among the names */
} VocBox;
typedef struct VocBoxes {             /* of many files, one behind the other */
    VocBox *at;
    int64_t n, room;
    char *names;                      /* each with its zero byte */
    int64_t names_n, names_room;
} VocBoxes;
typedef struct VocSize {
    double width, height;             /* 0: not said */
} VocSize;
/* Adds a file's boxes; what it added before it failed stays. */
bool voc_read(HoneSys *sys, const char *path, VocBoxes *boxes, VocSize *size, HoneError *error);
void voc_free(HoneSys *sys, VocBoxes *boxes);

#endif
