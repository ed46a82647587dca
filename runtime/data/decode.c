/* decode: a JPEG or PNG file to RGB bytes, as Pillow's convert("RGB") gives them: alpha is dropped,
 * grey is spread, 16-bit channels keep their high byte, no gamma. The kind is known by the file's
 * first bytes, never by its name. */
#include <errno.h>
#include <png.h>
#include <setjmp.h>
#include <string.h>
#include <turbojpeg.h>

#include "data/data.h"

enum { MAX_SIDE = 65535, HEADER_BYTES = 8, READ_AT_ONCE = 512 };
static const int64_t MAX_PIXELS = 100 * 1000 * 1000;   /* a picture larger than this is refused */

typedef enum PictureKind { PICTURE_NONE, PICTURE_JPEG, PICTURE_PNG } PictureKind;

static PictureKind kind_of(const uint8_t *bytes, size_t n)
{
    static const uint8_t png[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    if (n >= 3 && bytes[0] == 0xff && bytes[1] == 0xd8 && bytes[2] == 0xff) {
        return PICTURE_JPEG;
    }
    return n >= sizeof png && memcmp(bytes, png, sizeof png) == 0 ? PICTURE_PNG : PICTURE_NONE;
}

static bool in_bounds(int64_t width, int64_t height)
{
    return width > 0 && height > 0 && width <= MAX_SIDE && height <= MAX_SIDE &&
           width * height <= MAX_PIXELS;
}

static bool fail_read(HoneError *error, const char *path)
{
    return hone_fail_read(error, path, errno);
}

static bool fail_kind(HoneError *error, const char *path)
{
    hone_fail(error, HONE_BAD_INPUT, "E704", "`%.300s` is neither a JPEG nor a PNG picture", path);
    hone_error_help(error, "remove the file, or set `skip_bad = true` in the recipe");
    return false;
}

static bool fail_decode(HoneError *error, const char *path, const char *why)
{
    hone_fail(error, HONE_BAD_INPUT, "E704", "`%.300s` cannot be decoded: %s", path, why);
    hone_error_help(error, "replace the file, or set `skip_bad = true` in the recipe");
    return false;
}

static bool fail_mask(HoneError *error, const char *path)
{
    hone_fail(error, HONE_BAD_INPUT, "E704", "`%.300s` is no mask: a PNG picture of up to 8 bits, grey or "
              "with a palette", path);
    hone_error_note(error, "the raw value of a pixel is its class; colours are not looked at");
    hone_error_help(error, "convert it, or set `skip_bad = true` in the recipe");
    return false;
}

/* A folder, a pipe … among the pictures of a class. */
static bool fail_place(HoneError *error, const char *path, bool folder)
{
    hone_fail(error, HONE_BAD_INPUT, "E704", "`%.300s` is %s, not a picture", path,
              folder ? "a folder" : "a pipe or device");
    hone_error_note(error, "pictures of classes lie in FOLDER/CLASS/PICTURE, pictures with masks in "
                           "FOLDER/images/PICTURE, none deeper");
    hone_error_help(error, folder ? "if they are one level deeper, name the folder above them"
                                  : "remove it");
    return false;
}

/* --- headers ---------------------------------------------------------------------------------------- */
typedef struct HeadReader {
    HoneSys *sys;
    int fd;
    int64_t size, at;                 /* of the file; where in it `bytes` stand */
    size_t n;
    bool failed;
    uint8_t bytes[READ_AT_ONCE];
} HeadReader;

/* n bytes of the file; NULL where it ends before, or cannot be read. */
static const uint8_t *head_bytes(HeadReader *from, int64_t at, size_t n)
{
    if (at + (int64_t)n > from->size) {
        return NULL;
    }
    if (at < from->at || at + (int64_t)n > from->at + (int64_t)from->n) {
        int64_t left = from->size - at;
        from->at = at;
        from->n = left < READ_AT_ONCE ? (size_t)left : READ_AT_ONCE;
        if (hone_read_at(from->sys, from->fd, from->bytes, from->n, at) != 0) {
            from->n = 0;
            from->failed = true;
            return NULL;
        }
    }
    return from->bytes + (at - from->at);
}

static int64_t big_endian(const uint8_t *bytes, int n)
{
    int64_t value = 0;
    for (int i = 0; i < n; i++) {
        value = value << 8 | bytes[i];
    }
    return value;
}

/* The frame header of a JPEG file: two bytes of length, precision, height, width, and three bytes for
 * every component. A progressive picture is decoded as a whole, two bytes a coefficient. */
static void read_frame(HeadReader *from, int64_t at, bool progressive, PictureHead *head)
{
    const uint8_t *frame = head_bytes(from, at, 8);
    int components = frame == NULL ? 0 : frame[7];
    frame = components < 1 || components > 4 ? NULL : head_bytes(from, at, 8 + 3 * (size_t)components);
    if (frame == NULL) {
        return;
    }
    head->height = big_endian(frame + 3, 2);
    head->width = big_endian(frame + 5, 2);
    head->pixels = components == 4 ? 4 : 3;
    int across = 1, down = 1, blocks = 0;
    for (int i = 0; progressive && i < components; i++) {
        int h = frame[9 + 3 * i] >> 4, v = frame[9 + 3 * i] & 15;
        across = h > across ? h : across;
        down = v > down ? v : down;
        blocks += h * v;
    }
    head->inner = (size_t)(head->width * head->height * 2 * blocks / (across * down));
}

/* Segments, each a marker and its length, up to that of the frame. */
static void jpeg_head(HeadReader *from, PictureHead *head)
{
    enum { FRAME = 0xc0, TABLES = 0xc4, EXTENSION = 0xc8, ARITHMETIC = 0xcc, SCAN = 0xda, FILL = 0xff };
    const uint8_t *bytes;
    for (int64_t at = 2; (bytes = head_bytes(from, at, 4)) != NULL && bytes[0] == FILL;) {
        int marker = bytes[1];
        if (marker == SCAN) {
            return;
        }
        if ((marker & 0xf0) == FRAME && marker != TABLES && marker != EXTENSION &&
            marker != ARITHMETIC) {
            read_frame(from, at + 2, (marker & 3) == 2, head);
            return;
        }
        at += marker == FILL ? 1 : 2 + big_endian(bytes + 2, 2);
    }
}

/* The first chunk of a PNG file is its header. */
static void png_head(HeadReader *from, PictureHead *head)
{
    const uint8_t *bytes = head_bytes(from, 16, 10);
    if (bytes != NULL) {
        int depth = bytes[8], colours = bytes[9];
        head->mask = depth <= 8 && (colours == PNG_COLOR_TYPE_GRAY || colours == PNG_COLOR_TYPE_PALETTE);
        head->width = big_endian(bytes, 4);
        head->height = big_endian(bytes + 4, 4);
        head->pixels = 3;
    }
}

/* What decoding takes; nothing where it will be refused. */
static void picture_head(HeadReader *from, PictureKind kind, PictureHead *head)
{
    *head = (PictureHead){.bytes = from->size};
    if (kind == PICTURE_JPEG) {
        jpeg_head(from, head);
    } else {
        png_head(from, head);
    }
    if (!in_bounds(head->width, head->height)) {
        *head = (PictureHead){.bytes = from->size};
    }
    head->pixels *= (size_t)(head->width * head->height);
}

bool picture_check(HoneSys *sys, const char *path, PictureHead *head, HoneError *error)
{
    int fd = hone_open_read(sys, path);
    if (fd < 0) {
        return fail_read(error, path);
    }
    int64_t size = hone_file_size(sys, fd);
    HeadReader from = {.sys = sys, .fd = fd, .size = size};
    const uint8_t *first = head_bytes(&from, 0, HEADER_BYTES);
    PictureKind kind = first == NULL ? PICTURE_NONE : kind_of(first, HEADER_BYTES);
    if (kind != PICTURE_NONE) {
        picture_head(&from, kind, head);
    }
    int why = errno;
    hone_close(sys, fd);
    if (size < 0 && (why == EISDIR || why == EINVAL)) {
        return fail_place(error, path, why == EISDIR);
    }
    errno = why;
    if (size < 0 || from.failed) {
        return fail_read(error, path);
    }
    return kind != PICTURE_NONE ? true : fail_kind(error, path);
}

bool mask_check(HoneSys *sys, const char *path, PictureHead *head, HoneError *error)
{
    return picture_check(sys, path, head, error) && (head->mask || fail_mask(error, path));
}

/* --- decoding --------------------------------------------------------------------------------------- */
/* Room for the pixels; bounds both sides so that sizes below cannot overflow. */
static bool make_room(Workspace *work, const char *path, int64_t channels, Picture *picture,
                      HoneError *error)
{
    if (!in_bounds(picture->width, picture->height)) {
        return fail_decode(error, path, "its size is out of bounds");
    }
    size_t bytes = (size_t)(picture->width * picture->height * channels);
    picture->rgb = workspace_get(work, &work->pixels, bytes);
    return picture->rgb == NULL ? hone_fail_memory(error, "data", bytes) : true;
}

/* --- JPEG ------------------------------------------------------------------------------------------- */
/* Inverted CMYK, as Adobe writes it, to RGB in place. */
static void cmyk_to_rgb(uint8_t *pixels, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const uint8_t *from = pixels + 4 * i;
        unsigned k = from[3];
        for (int c = 0; c < 3; c++) {
            unsigned product = from[c] * k + 128;
            pixels[3 * i + c] = (uint8_t)(((product >> 8) + product) >> 8);
        }
    }
}

static bool decode_jpeg(Workspace *work, tjhandle jpeg, const uint8_t *bytes, size_t n,
                        const char *path, Picture *picture, HoneError *error)
{
    int width, height, sampling, space;
    if (tjDecompressHeader3(jpeg, bytes, n, &width, &height, &sampling, &space) != 0) {
        return fail_decode(error, path, tjGetErrorStr2(jpeg));
    }
    bool cmyk = space == TJCS_CMYK || space == TJCS_YCCK;
    picture->width = width;
    picture->height = height;
    if (!make_room(work, path, cmyk ? 4 : 3, picture, error)) {
        return false;
    }
    int status = tjDecompress2(jpeg, bytes, n, picture->rgb, width, 0, height,
                               cmyk ? TJPF_CMYK : TJPF_RGB, 0);
    if (status != 0 && (tjGetErrorCode(jpeg) != TJERR_WARNING ||
                        strstr(tjGetErrorStr2(jpeg), "Premature end") != NULL)) {
        return fail_decode(error, path, tjGetErrorStr2(jpeg));
    }
    if (cmyk) {
        cmyk_to_rgb(picture->rgb, picture->width * picture->height);
    }
    return true;
}

/* --- PNG -------------------------------------------------------------------------------------------- */
typedef struct PngSource {
    const uint8_t *bytes;
    size_t n, at;
    char why[128];
    jmp_buf failed;
} PngSource;

static void png_failed(png_structp png, png_const_charp message)
{
    PngSource *source = png_get_error_ptr(png);
    strncpy(source->why, message, sizeof source->why - 1);
    longjmp(source->failed, 1);
}

static void png_warned(png_structp png, png_const_charp message)
{
    (void)png, (void)message;
}

static void png_take(png_structp png, png_bytep to, size_t n)
{
    PngSource *source = png_get_io_ptr(png);
    if (n > source->n - source->at) {
        png_error(png, "the file ends early");
    }
    memcpy(to, source->bytes + source->at, n);
    source->at += n;
}

static bool png_rows(Workspace *work, png_structp png, png_infop info, const char *path, bool mask,
                     Picture *picture, HoneError *error)
{
    int64_t channels = mask ? 1 : 3;
    png_set_user_limits(png, MAX_SIDE, MAX_SIDE);
    png_read_info(png, info);
    picture->width = png_get_image_width(png, info);
    picture->height = png_get_image_height(png, info);
    if (mask && (png_get_channels(png, info) != 1 || png_get_bit_depth(png, info) > 8)) {
        return fail_mask(error, path);
    }
    if (mask) {
        png_set_packing(png);
    } else {
        png_set_expand(png);
        png_set_strip_16(png);
        png_set_strip_alpha(png);
        png_set_gray_to_rgb(png);
    }
    int passes = png_set_interlace_handling(png);
    png_read_update_info(png, info);
    if (!make_room(work, path, channels, picture, error)) {
        return false;
    }
    for (int pass = 0; pass < passes; pass++) {
        for (int64_t y = 0; y < picture->height; y++) {
            png_read_row(png, picture->rgb + y * picture->width * channels, NULL);
        }
    }
    png_read_end(png, NULL);
    return true;
}

static bool decode_png(Workspace *work, const uint8_t *bytes, size_t n, const char *path, bool mask,
                       Picture *picture, HoneError *error)
{
    PngSource source = {.bytes = bytes, .n = n};
    png_structp png =
        png_create_read_struct(PNG_LIBPNG_VER_STRING, &source, png_failed, png_warned);
    png_infop info = png == NULL ? NULL : png_create_info_struct(png);
    if (info == NULL) {
        png_destroy_read_struct(&png, NULL, NULL);
        return hone_fail_memory(error, "data", n);
    }
    png_set_read_fn(png, &source, png_take);
    volatile bool ok = false;
    if (setjmp(source.failed) == 0) {
        ok = png_rows(work, png, info, path, mask, picture, error);
    } else {
        fail_decode(error, path, source.why);
    }
    png_destroy_read_struct(&png, &info, NULL);
    return ok;
}

/* --- files ------------------------------------------------------------------------------------------ */
static bool read_whole(Workspace *work, const char *path, size_t *n, HoneError *error)
{
    int fd = hone_open_read(work->sys, path);
    if (fd < 0) {
        return fail_read(error, path);
    }
    int64_t size = hone_file_size(work->sys, fd);
    bool ok = size > 0;
    if (ok && workspace_get(work, &work->file, (size_t)size) == NULL) {
        hone_close(work->sys, fd);
        return hone_fail_memory(error, "data", (size_t)size);
    }
    ok = ok && hone_read_at(work->sys, fd, work->file.at, (size_t)size, 0) == 0;
    hone_close(work->sys, fd);
    *n = (size_t)size;
    if (size == 0) {
        return fail_kind(error, path);
    }
    return ok ? true : fail_read(error, path);
}

bool picture_decode(Workspace *work, const char *path, Picture *picture, HoneError *error)
{
    size_t n = 0;
    if (!read_whole(work, path, &n, error)) {
        return false;
    }
    switch (kind_of(work->file.at, n)) {
    case PICTURE_PNG:
        return decode_png(work, work->file.at, n, path, false, picture, error);
    case PICTURE_JPEG: {
        tjhandle jpeg = tjInitDecompress();
        if (jpeg == NULL) {
            return hone_fail_memory(error, "data", n);
        }
        bool ok = decode_jpeg(work, jpeg, work->file.at, n, path, picture, error);
        tjDestroy(jpeg);
        return ok;
    }
    case PICTURE_NONE:
        break;
    }
    return fail_kind(error, path);
}

bool mask_decode(Workspace *work, const char *path, Picture *mask, HoneError *error)
{
    size_t n = 0;
    return read_whole(work, path, &n, error) &&
           (kind_of(work->file.at, n) == PICTURE_PNG
                ? decode_png(work, work->file.at, n, path, true, mask, error)
                : fail_mask(error, path));
}
