/* files: temporary folders and raw files for tests of the runtime. Failures end the test. */
#ifndef TEST_FILES_H
#define TEST_FILES_H

#include <stdbool.h>
#include <stddef.h>

/* A fresh folder; removed with all its contents by temp_remove. */
char *temp_folder(void);
/* One with links to all files of another: programs in it find what they use. */
char *temp_like(const char *folder);
void temp_remove(char *folder);
/* folder/name in one of 8 static buffers. */
const char *in_folder(const char *folder, const char *name);
void file_put(const char *path, const void *bytes, size_t n);
void file_put_text(const char *path, const char *text);
char *file_get(const char *path, size_t *n);          /* NUL-terminated; free it; NULL: no file */
bool file_exists(const char *path);
bool files_equal(const char *a, const char *b);
size_t folder_count(const char *folder);              /* entries, hidden ones included */
void remove_tree(const char *path);

#endif
