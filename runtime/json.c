/* json: a strict pull reader (RFC 8259) for the small documents the runtime trusts only after
 * checking: safetensors headers and checkpoint manifests. It holds no tree: a tree of a hostile
 * header takes fifty times the header's size. Duplicate keys are the caller's to find. */
#include "internal.h"

HoneJson hone_json(char *text, size_t bytes)
{
    return (HoneJson){.text = text, .at = text, .end = text + bytes};
}

bool hone_json_fail(HoneJson *json, const char *why)
{
    if (!json->why)
        json->why = why;
    return false;
}

size_t hone_json_offset(const HoneJson *json)
{
    return (size_t)(json->at - json->text);
}

static void skip_space(HoneJson *json)
{
    while (json->at < json->end && (*json->at == ' ' || *json->at == '\n' || *json->at == '\t' ||
                                    *json->at == '\r'))
        json->at++;
}

static bool take(HoneJson *json, char c)
{
    if (json->why)
        return false;
    skip_space(json);
    if (json->at == json->end || *json->at != c)
        return false;
    json->at++;
    return true;
}

bool hone_json_enter(HoneJson *json, char bracket)
{
    if (!take(json, bracket))
        return hone_json_fail(json, bracket == '{' ? "an object was expected"
                                                   : "an array was expected");
    json->first = true;
    return true;
}

bool hone_json_more(HoneJson *json, char closing)
{
    if (take(json, closing)) {
        json->first = false;
        return false;
    }
    if (json->first) {
        json->first = false;
        return !json->why && (json->at < json->end || hone_json_fail(json, "it ends too early"));
    }
    return take(json, ',') || hone_json_fail(json, "a comma or a closing bracket was expected");
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* The four digits of \uXXXX; -1 if they are not. */
static int32_t hex4(HoneJson *json)
{
    if (json->end - json->at < 4)
        return -1;
    int32_t code = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(*json->at++);
        if (digit < 0)
            return -1;
        code = code << 4 | digit;
    }
    return code;
}

static char *put_utf8(char *to, uint32_t code)
{
    if (code < 0x80) {
        *to++ = (char)code;
    } else if (code < 0x800) {
        *to++ = (char)(0xC0 | code >> 6);
        *to++ = (char)(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        *to++ = (char)(0xE0 | code >> 12);
        *to++ = (char)(0x80 | (code >> 6 & 0x3F));
        *to++ = (char)(0x80 | (code & 0x3F));
    } else {
        *to++ = (char)(0xF0 | code >> 18);
        *to++ = (char)(0x80 | (code >> 12 & 0x3F));
        *to++ = (char)(0x80 | (code >> 6 & 0x3F));
        *to++ = (char)(0x80 | (code & 0x3F));
    }
    return to;
}

static bool unicode_escape(HoneJson *json, char **to)
{
    int32_t code = hex4(json);
    if (code >= 0xD800 && code < 0xDC00) {
        if (json->end - json->at < 2 || json->at[0] != '\\' || json->at[1] != 'u')
            return hone_json_fail(json, "half of a surrogate pair in a text");
        json->at += 2;
        int32_t second = hex4(json);
        if (second < 0xDC00 || second > 0xDFFF)
            return hone_json_fail(json, "half of a surrogate pair in a text");
        code = 0x10000 + ((code - 0xD800) << 10) + (second - 0xDC00);
    } else if (code >= 0xDC00 && code <= 0xDFFF) {
        return hone_json_fail(json, "half of a surrogate pair in a text");
    }
    if (code <= 0)
        return hone_json_fail(json, code == 0 ? "a NUL in a text" : "a bad \\u escape in a text");
    *to = put_utf8(*to, (uint32_t)code);
    return true;
}

static bool escape(HoneJson *json, char **to)
{
    static const char from[] = "\"\\/bfnrt", plain[] = "\"\\/\b\f\n\r\t";
    if (json->at == json->end)
        return hone_json_fail(json, "a text is never closed");
    char c = *json->at++;
    if (c == 'u')
        return unicode_escape(json, to);
    for (int i = 0; from[i]; i++)
        if (from[i] == c) {
            *(*to)++ = plain[i];
            return true;
        }
    return hone_json_fail(json, "an unknown escape in a text");
}

/* Copies one character of more than one byte, refusing overlong forms and surrogates. */
static bool multibyte(HoneJson *json, char **to)
{
    const unsigned char *at = (const unsigned char *)json->at;
    size_t left = (size_t)(json->end - json->at);
    size_t n = at[0] >= 0xC2 && at[0] <= 0xDF ? 2 : (at[0] & 0xF0) == 0xE0 ? 3
             : at[0] >= 0xF0 && at[0] <= 0xF4 ? 4 : 0;
    bool good = n > 0 && n <= left;
    for (size_t i = 1; good && i < n; i++)
        good = (at[i] & 0xC0) == 0x80;
    if (good && n == 3)
        good = !(at[0] == 0xE0 && at[1] < 0xA0) && !(at[0] == 0xED && at[1] > 0x9F);
    if (good && n == 4)
        good = !(at[0] == 0xF0 && at[1] < 0x90) && !(at[0] == 0xF4 && at[1] > 0x8F);
    if (!good)
        return hone_json_fail(json, "a text is not UTF-8");
    for (size_t i = 0; i < n; i++)
        *(*to)++ = *json->at++;
    return true;
}

/* Decoding never grows a text, so `to` stays behind `at`; the NUL falls on the closing quote. */
char *hone_json_text(HoneJson *json)
{
    if (!take(json, '"')) {
        hone_json_fail(json, "a text was expected");
        return NULL;
    }
    char *text = json->at, *to = text;
    while (json->at < json->end) {
        unsigned char c = (unsigned char)*json->at;
        if (c == '"') {
            json->at++;
            *to = '\0';
            return text;
        }
        bool good = true;
        if (c == '\\') {
            json->at++;
            good = escape(json, &to);
        } else if (c >= 0x80) {
            good = multibyte(json, &to);
        } else if (c < 0x20) {
            good = hone_json_fail(json, "a control character in a text");
        } else {
            *to++ = *json->at++;
        }
        if (!good)
            return NULL;
    }
    hone_json_fail(json, "a text is never closed");
    return NULL;
}

char *hone_json_key(HoneJson *json)
{
    char *key = hone_json_text(json);
    if (key && !take(json, ':')) {
        hone_json_fail(json, "a colon was expected");
        return NULL;
    }
    return key;
}

bool hone_json_u64(HoneJson *json, uint64_t *value)
{
    if (json->why)
        return false;
    skip_space(json);
    char *start = json->at;
    uint64_t sum = 0;
    while (json->at < json->end && *json->at >= '0' && *json->at <= '9') {
        if (__builtin_mul_overflow(sum, 10, &sum) ||
            __builtin_add_overflow(sum, (uint64_t)(*json->at - '0'), &sum))
            return hone_json_fail(json, "a number is too large");
        json->at++;
    }
    if (json->at == start)
        return hone_json_fail(json, json->at < json->end && *json->at == '-'
                                        ? "a number is negative"
                                        : "a whole number was expected");
    if (*start == '0' && json->at - start > 1)
        return hone_json_fail(json, "a number starts with 0");
    if (json->at < json->end && (*json->at == '.' || *json->at == 'e' || *json->at == 'E'))
        return hone_json_fail(json, "a number is not whole");
    *value = sum;
    return true;
}

bool hone_json_end(HoneJson *json)
{
    if (json->why)
        return false;
    skip_space(json);
    return json->at == json->end || hone_json_fail(json, "something follows its end");
}
