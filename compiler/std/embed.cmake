# Writes OUT: the text of every FILE below ROOT as C arrays, std_file() and std_find() over them.
set(body "")
set(table "")
set(i 0)
foreach(file ${FILES})
  file(RELATIVE_PATH name ${ROOT} ${file})
  string(REGEX REPLACE "\\.hone$" "" name ${name})
  file(READ ${file} hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  string(APPEND body "static const unsigned char std_${i}[] = {${bytes}0};\n")
  string(APPEND table "    {\"${name}\", std_${i}, sizeof std_${i} - 1},\n")
  math(EXPR i "${i} + 1")
endforeach()
file(WRITE ${OUT} "/* generated from compiler/std */
#include \"model/model.h\"

${body}
static const struct { const char *name; const unsigned char *text; size_t len; } std_files[] = {
${table}    {0, 0, 0}
};

bool std_file(size_t i, Str *name, Str *text)
{
    if (std_files[i].name == NULL) {
        return false;
    }
    *name = str_of(std_files[i].name);
    *text = (Str){(const char *)std_files[i].text, std_files[i].len};
    return true;
}

bool std_find(Str wanted, Str *text)
{
    Str name, found;
    for (size_t i = 0; std_file(i, &name, &found); i++) {
        if (str_eq(name, wanted)) {
            *text = found;
            return true;
        }
    }
    return false;
}
")
