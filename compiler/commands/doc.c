/* hone doc: what a library offers, read off its text: signatures, the comments above them, and the
 * parameters, states and parts that an instance has. */
#include <errno.h>

#include "commands/command.h"
#include "syntax/ast.h"

typedef struct Doc {
    HoneSys *sys;
    Arena *arena;
    const CommandLine *line;
    Sources sources;
    Diags diags;
    Buf out;
} Doc;

typedef struct Library {
    Str name;                    /* "nn", "models/resnet", or the path of a file */
    Str text;
    const Ast *tree;
} Library;

/* --- text --------------------------------------------------------------------------------------- */
/* From one byte of the source to another, blanks and line ends as one blank. */
static Str squeezed(Doc *d, const Library *library, uint32_t from, uint32_t to)
{
    Buf out = buf_new(d->arena);
    for (uint32_t i = from; i < to; i++) {
        char c = library->text.ptr[i];
        bool blank = c == ' ' || c == '\n' || c == '\t' || c == '\r';
        if (!blank) {
            buf_char(&out, c);
        } else if (out.len > 0 && out.ptr[out.len - 1] != ' ') {
            buf_char(&out, ' ');
        }
    }
    while (out.len > 0 && out.ptr[out.len - 1] == ' ') {
        out.len--;
    }
    return buf_str(&out);
}

static Str text_of(Doc *d, const Library *library, const Ast *ast)
{
    return squeezed(d, library, ast->span.start, ast->span.end);
}

static Str first_line(Str doc)
{
    size_t n = 0;
    while (n < doc.len && doc.ptr[n] != '\n') {
        n++;
    }
    return (Str){doc.ptr, n};
}

/* Up to the end of the first sentence, or a list or example after it. */
static Str first_sentence(Doc *d, Str doc)
{
    Buf out = buf_new(d->arena);
    int depth = 0;
    for (size_t i = 0; i < doc.len; i++) {
        char c = doc.ptr[i], next = i + 1 < doc.len ? doc.ptr[i + 1] : '\n';
        depth += (c == '(') - (c == ')');
        bool ends = (c == '.' && (next == ' ' || next == '\n')) || (c == ';' && i > 60) ||
                    (c == ':' && next == '\n') || (c == '\n' && next == '\n');
        if (ends && depth <= 0) {
            break;
        }
        buf_char(&out, c == '\n' ? ' ' : c);
    }
    return buf_str(&out);
}

/* The comment at the head of the file, without its marks. */
static Str head_of(Doc *d, Str text)
{
    Buf out = buf_new(d->arena);
    while (text.len > 0 && text.ptr[0] == '#') {
        Str line = first_line(text);
        size_t marks = line.len > 1 && line.ptr[1] == ' ' ? 2 : 1;
        buf_add(&out, (Str){line.ptr + marks, line.len - marks});
        buf_char(&out, '\n');
        size_t used = line.len < text.len ? line.len + 1 : line.len;
        text = (Str){text.ptr + used, text.len - used};
    }
    return buf_str(&out);
}

/* --- items -------------------------------------------------------------------------------------- */
static const char *kind_of(const Ast *item)
{
    switch (item->kind) {
    case AST_FN:
        return "fn";
    case AST_MODULE:
        return "module";
    case AST_OPTIMIZER:
        return "optimizer";
    case AST_LET:
        return "let";
    default:
        return NULL;
    }
}

/* The definition up to its braces; all of it where there are none. */
static Str signature_of(Doc *d, const Library *library, const Ast *item)
{
    const Ast *last = item->kids[item->n - 1];
    bool braces = last != NULL && (last->kind == AST_BLOCK || last->kind == AST_BODY);
    return squeezed(d, library, item->name.start, braces ? last->span.start : item->span.end);
}

static Str with_condition(Doc *d, Str outer, Str condition)
{
    return outer.len == 0 ? condition
                          : str_format(d->arena, STR_FMT " and " STR_FMT, STR_ARG(outer),
                                       STR_ARG(condition));
}

static void add_part(Table *table, Str name, Str what, const char *kind, Str condition)
{
    table_cell(table, STR_FMT, STR_ARG(name));
    table_cell(table, STR_FMT, STR_ARG(what));
    table_cell(table, "%s%s" STR_FMT, kind, condition.len > 0 ? ", if " : "", STR_ARG(condition));
}

/* Parameters, states and parts of a body, those under `if` and `for` with their condition. */
static void add_parts(Doc *d, const Library *library, const Ast *body, Str condition, Table *table)
{
    for (size_t i = 0; body != NULL && i < body->n; i++) {
        const Ast *part = body->kids[i];
        Str text;
        switch (part->kind) {
        case AST_VAR_PARAM:
        case AST_VAR_STATE:
            add_part(table, part->text, text_of(d, library, part->kids[0]),
                     part->kind == AST_VAR_PARAM ? "param" : "state", condition);
            break;
        case AST_SUBMODULE:
            for (size_t k = 1; k < part->n; k++) {
                add_part(table, text_of(d, library, part->kids[k]),
                         text_of(d, library, part->kids[0]), "part", condition);
            }
            break;
        case AST_IF:
            text = text_of(d, library, part->kids[0]);
            add_parts(d, library, part->kids[1], with_condition(d, condition, text), table);
            text = str_format(d->arena, "not (" STR_FMT ")", STR_ARG(text));
            if (part->kids[2] != NULL && part->kids[2]->kind == AST_BODY) {
                add_parts(d, library, part->kids[2], with_condition(d, condition, text), table);
            }
            break;
        default:
            break;
        }
    }
}

static void indented(Buf *out, Str text, const char *indent)
{
    while (text.len > 0) {
        Str line = first_line(text);
        buf_printf(out, "%s" STR_FMT "\n", line.len > 0 ? indent : "", STR_ARG(line));
        size_t used = line.len < text.len ? line.len + 1 : line.len;
        text = (Str){text.ptr + used, text.len - used};
    }
}

static void print_item(Doc *d, const Library *library, const Ast *item)
{
    Str signature = signature_of(d, library, item);
    Buf *out = &d->out;
    if (d->line->json) {
        buf_printf(out, "{\"kind\": \"%s\", \"name\": ", kind_of(item));
        json_string(out, item->text);
        buf_add(out, STR(", \"library\": "));
        json_string(out, library->name);
        buf_add(out, STR(", \"signature\": "));
        json_string(out, signature);
        buf_add(out, STR(", \"doc\": "));
        json_string(out, item->doc);
        buf_add(out, STR("}\n"));
        return;
    }
    buf_printf(out, "%s " STR_FMT "\n\n", kind_of(item), STR_ARG(signature));
    indented(out, item->doc, "    ");
    if (item->kind == AST_MODULE || item->kind == AST_OPTIMIZER) {
        static const char *const names[] = {"", "", ""};
        Table *table = table_new(d->arena, 3, names);
        add_parts(d, library, item->kids[1], (Str){0}, table);
        buf_char(out, '\n');
        table_print(table, "    ", out);
    }
    buf_printf(out, "\n    use " STR_FMT "\n", STR_ARG(library->name));
}

static void print_library(Doc *d, const Library *library)
{
    if (!d->line->json) {
        buf_add(&d->out, head_of(d, library->text));
        buf_char(&d->out, '\n');
    }
    static const char *const names[] = {"", "", ""};
    Table *table = table_new(d->arena, 3, names);
    for (size_t i = 0; i < library->tree->n; i++) {
        const Ast *item = library->tree->kids[i];
        if (kind_of(item) == NULL) {
            continue;
        }
        if (d->line->json) {
            print_item(d, library, item);
            continue;
        }
        Str brief = first_sentence(d, item->doc);
        table_cell(table, "%s", kind_of(item));
        table_cell(table, STR_FMT, STR_ARG(item->text));
        table_cell(table, STR_FMT, STR_ARG(brief));
    }
    table_print(table, "  ", &d->out);
}

/* --- finding ------------------------------------------------------------------------------------ */
static bool parse_library(Doc *d, Library *library)
{
    uint32_t file = sources_add(&d->sources, library->name, library->text);
    library->tree = parse_file(d->arena, &d->sources, file, &d->diags);
    return d->diags.errors == 0;
}

static Str short_name(Str name)
{
    Str models = STR("models/");
    return str_starts(name, models) ? (Str){name.ptr + models.len, name.len - models.len} : name;
}

static bool find_library(Doc *d, Str name, Library *library)
{
    for (size_t i = 0; std_file(i, &library->name, &library->text); i++) {
        library->name = short_name(library->name);
        if (str_eq(library->name, name)) {
            return parse_library(d, library);
        }
    }
    return false;
}

static const Ast *find_item(const Library *library, Str name)
{
    for (size_t i = 0; i < library->tree->n; i++) {
        if (kind_of(library->tree->kids[i]) != NULL && str_eq(library->tree->kids[i]->text, name)) {
            return library->tree->kids[i];
        }
    }
    return NULL;
}

/* A name that no library of the standard library is called: an item in one of them. */
static bool print_anywhere(Doc *d, Str name, Str *near)
{
    VEC(Str) names = {0};
    Library library;
    bool found = false;
    for (size_t i = 0; std_file(i, &library.name, &library.text); i++) {
        library.name = short_name(library.name);
        VEC_PUSH(d->arena, names, library.name);
        parse_library(d, &library);
        for (size_t k = 0; k < library.tree->n; k++) {
            const Ast *item = library.tree->kids[k];
            if (kind_of(item) != NULL) {
                VEC_PUSH(d->arena, names, item->text);
            }
        }
        const Ast *item = find_item(&library, name);
        if (item != NULL) {
            print_item(d, &library, item);
            found = true;
        }
    }
    *near = str_nearest(name, names.at, names.len);
    return found;
}

static int finish(Doc *d, int exit)
{
    if (exit != HONE_OK) {
        print_diags(d->sys, d->arena, d->line, &d->diags);
        return exit;
    }
    return out_finish(d->sys, &d->out, HONE_OK);
}

static int unknown(Doc *d, Str what, Str near)
{
    Diag *diag_ = diag(&d->diags, E710, (Span){0}, "nothing in the library is called `" STR_FMT "`",
                       STR_ARG(what));
    if (language_has(what)) {
        diag_help(diag_, "`" STR_FMT "` is part of the language itself, which grammar/README.md describes",
                  STR_ARG(what));
    } else if (near.len > 0) {
        diag_help(diag_, "did you mean `hone doc " STR_FMT "`?", STR_ARG(near));
    } else {
        diag_help(diag_, "`hone doc` lists the library");
    }
    return finish(d, HONE_USAGE);
}

static int overview(Doc *d)
{
    static const char *const names[] = {"", ""};
    Table *table = table_new(d->arena, 2, names);
    Library library;
    for (size_t i = 0; std_file(i, &library.name, &library.text); i++) {
        Str head = head_of(d, library.text);
        Str brief = first_sentence(d, head);
        size_t skip = 0;                           /* "nn.hone -- layers …" */
        for (size_t k = 0; k + 3 < brief.len && skip == 0; k++) {
            skip = brief.ptr[k] == '-' && brief.ptr[k + 1] == '-' ? k + 3 : 0;
        }
        table_cell(table, STR_FMT, STR_ARG(short_name(library.name)));
        table_cell(table, STR_FMT, (int)(brief.len - skip), brief.ptr + skip);
    }
    table_print(table, "  ", &d->out);
    buf_add(&d->out, STR("\n`hone doc nn` lists what a library has, `hone doc Conv2d` shows one item.\n"));
    return finish(d, HONE_OK);
}

/* "nn.Conv2d": a library and an item of it. */
static bool split(Str name, Str *library, Str *item)
{
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == '.') {
            *library = (Str){name.ptr, i};
            *item = (Str){name.ptr + i + 1, name.len - i - 1};
            return true;
        }
    }
    return false;
}

static int of_library(Doc *d, const Library *library, Str item)
{
    if (item.len == 0) {
        print_library(d, library);
        return finish(d, HONE_OK);
    }
    const Ast *found = find_item(library, item);
    if (found == NULL) {
        VEC(Str) names = {0};
        for (size_t i = 0; i < library->tree->n; i++) {
            VEC_PUSH(d->arena, names, library->tree->kids[i]->text);
        }
        return unknown(d, item, str_nearest(item, names.at, names.len));
    }
    print_item(d, library, found);
    return finish(d, HONE_OK);
}

static int of_file(Doc *d, Str path, Str item)
{
    Library library = {.name = path};
    if (!source_read(d->arena, d->sys, path, &library.text)) {
        char why[128];
        diag(&d->diags, E702, (Span){0}, "cannot read `" STR_FMT "`: %s", STR_ARG(path),
             hone_errno_text(errno, why));
        return finish(d, HONE_BAD_INPUT);
    }
    return parse_library(d, &library) ? of_library(d, &library, item) : finish(d, HONE_USAGE);
}

int command_doc(HoneSys *sys, Mem *mem, const CommandLine *line)
{
    Doc d = {.sys = sys, .arena = arena_new(mem, "doc"), .line = line};
    d.sources = sources_new(d.arena);
    d.diags = diags_new(d.arena, &d.sources);
    d.out = buf_new(d.arena);
    if (line->args.len == 0) {
        return overview(&d);
    }
    Str name = line->args.at[0], item = line->args.len > 1 ? line->args.at[1] : (Str){0};
    if (str_ends(name, STR(".hone"))) {
        return of_file(&d, name, item);
    }
    Library library;
    Str first = name, second = item;
    if (find_library(&d, name, &library) ||
        (split(name, &first, &second) && find_library(&d, first, &library))) {
        return of_library(&d, &library, second);
    }
    Str near;
    return print_anywhere(&d, name, &near) ? finish(&d, HONE_OK) : unknown(&d, name, near);
}
